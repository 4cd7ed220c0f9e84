// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! VMAPI: the virtual machines of the datacenter.
//!
//! It implements the routes that IMGAPI, its workflows and `sdc-clients` read: `/ping`, `/vms` and `/vms/:uuid`. Machines cannot
//! be created over HTTP; tests change them with [`Fleet`].

mod fleet;
mod routes;
mod vm;

pub use fleet::Fleet;
pub use vm::{Brand, Disk, Nic, Vm, VmState};

use std::io;
use std::net::SocketAddr;

use crate::rest::RestServer;

/// Starts VMAPI for these machines on `address`. Port 0 chooses a free port.
///
/// # Errors
///
/// Fails if the port cannot be bound.
pub async fn serve(address: SocketAddr, fleet: Fleet) -> io::Result<RestServer> {
    RestServer::serve(address, routes::router(fleet)).await
}
