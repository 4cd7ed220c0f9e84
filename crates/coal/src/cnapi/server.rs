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
use crate::rest::{RestFaults, RestServer};
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

/// A CNAPI server.
#[derive(Debug)]
pub struct CnapiServer {
    server: RestServer,
    tasks: Tasks,
}

impl CnapiServer {
    /// Starts CNAPI for these servers and machines on `address`. Port 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn bind(address: SocketAddr, fleet: Fleet) -> io::Result<Self> {
        let tasks = Tasks::new(fleet.clone())?;
        let server = RestServer::bind(address, router(Api { fleet, tasks: tasks.clone() })).await?;
        Ok(Self { server, tasks })
    }

    /// Returns the address that the server listens on, or did before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the URL, `http://host:port`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the fault switches of the API.
    pub fn faults(&self) -> &RestFaults {
        self.server.faults()
    }

    /// Returns the fault switches for the creation of images.
    pub fn task_faults(&self) -> &TaskFaults {
        self.tasks.faults()
    }

    /// Closes the port and all connections. Tasks continue.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.server.start().await
    }
}
