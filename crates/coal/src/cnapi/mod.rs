// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! CNAPI: the servers of the datacenter, which can create images of machines.
//!
//! It implements the routes that IMGAPI, its workflows and `sdc-clients` use: `/ping`, `/servers`, `/servers/:uuid`,
//! `/servers/:uuid/vms/:uuid/images`, `/tasks/:id` and `/tasks/:id/wait`. An image is created at once. [`vm_file`] returns the
//! content of its file, and it is published as by `imgadm create --publish`. Tasks are kept in memory.

mod faults;
mod imgadm;
mod manifest;
mod routes;
mod server;
mod tasks;

pub use faults::{TaskCondition, TaskFault, TaskFaultRule, TaskFaults};
pub use imgadm::vm_file;
pub use server::{Cnapi, CnapiServer, Server};
