// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! JSON over HTTP as Triton's services use it: the common part of SAPI, the Workflow API, VMAPI and CNAPI.

mod error;
mod faults;
mod server;

pub use faults::{Garbage, RestFault, RestFaultRule, RestFaults};
pub use server::RestServer;

pub(crate) use error::{RestError, RestResult};
pub(crate) use server::object;
