// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The CNAPI server, and the compute nodes that it knows.

use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::faults::TaskFaults;
use super::routes::{Api, router};
use super::tasks::Tasks;
use crate::rest::RestServer;
use crate::vmapi::Fleet;

/// A compute node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// UUID of the server.
    pub uuid: String,
    /// Name of the server.
    pub hostname: String,
    /// `SDC Version` in its sysinfo. Very old servers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdc_version: Option<String>,
    /// The platform that it runs.
    pub current_platform: String,
}

/// What a CNAPI server keeps.
#[derive(Debug)]
pub struct Cnapi {
    tasks: Tasks,
}

/// A CNAPI server. Its tasks continue while its port is closed.
pub type CnapiServer = RestServer<Cnapi>;

impl CnapiServer {
    /// Starts CNAPI for these servers and machines on `address`. Port 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn bind(address: SocketAddr, fleet: Fleet) -> io::Result<Self> {
        let tasks = Tasks::new(fleet.clone())?;
        let server = RestServer::serve(address, router(Api { fleet, tasks: tasks.clone() })).await?;
        Ok(server.with(Cnapi { tasks }))
    }

    /// Returns the fault switches for the creation of images.
    pub fn task_faults(&self) -> &TaskFaults {
        self.state().tasks.faults()
    }
}
