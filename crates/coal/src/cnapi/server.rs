// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server, and the servers that it knows.

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
    /// Its UUID.
    pub uuid: String,
    /// Its name.
    pub hostname: String,
    /// `SDC Version` of its sysinfo; very old ones tell none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdc_version: Option<String>,
    /// The platform that it runs.
    pub current_platform: String,
}

/// CNAPI.
#[derive(Debug)]
pub struct CnapiServer {
    server: RestServer,
    tasks: Tasks,
}

impl CnapiServer {
    /// Starts CNAPI for these servers and machines on `address`; port 0 chooses a free one.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn bind(address: SocketAddr, fleet: Fleet) -> io::Result<Self> {
        let tasks = Tasks::new(fleet.clone())?;
        let server = RestServer::bind(address, router(Api { fleet, tasks: tasks.clone() })).await?;
        Ok(Self { server, tasks })
    }

    /// Where it listens, or listened before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The switches for faults of the API.
    pub fn faults(&self) -> &RestFaults {
        self.server.faults()
    }

    /// The switches for faults of the making of images.
    pub fn task_faults(&self) -> &TaskFaults {
        self.tasks.faults()
    }

    /// Closes the port and all connections. Tasks go on.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.server.start().await
    }
}
