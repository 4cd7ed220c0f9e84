// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server and its runner.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::routes::{Api, router};
use super::runner::{Runner, Working};
use super::store::Store;
use crate::rest::{RestFaults, RestServer};

/// Settings of a Workflow API server.
#[derive(Debug, Clone, Default)]
pub struct WorkflowOptions {
    /// File for workflows and jobs. Without it they are kept in memory.
    pub file: Option<PathBuf>,
    /// Variables that every task can use, such as `imgapiUrl`.
    pub variables: Vec<(String, String)>,
}

/// A Workflow API with a runner.
#[derive(Debug)]
pub struct WorkflowServer {
    server: RestServer,
    runner: Runner,
    working: Mutex<Working>,
    variables: Arc<Vec<(String, String)>>,
}

impl WorkflowServer {
    /// Opens the store, cancels the jobs that were running when it was closed, and listens on `address`. Port 0 chooses a free
    /// port.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or the port cannot be bound.
    pub async fn bind(address: SocketAddr, options: WorkflowOptions) -> io::Result<Self> {
        let WorkflowOptions { file, mut variables } = options;
        let store = tokio::task::spawn_blocking(move || Store::open(file.as_ref()))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let runner = Runner::new(store.clone());
        let api = Api { store, runner: runner.clone() };
        let server = RestServer::bind(address, router(api)).await?;
        variables.push(("wfapiUrl".to_owned(), server.url()));
        let variables = Arc::new(variables);
        let working = runner.start(Arc::clone(&variables)).await.map_err(io::Error::other)?;
        Ok(Self { server, runner, working: Mutex::new(working), variables })
    }

    /// Returns the address that the API listens on, or did before [`stop`](Self::stop).
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

    /// Closes the port of the API and all connections. The runner continues.
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

    /// Stops starting queued jobs.
    pub fn pause_runner(&self) {
        self.runner.pause();
    }

    /// Starts queued jobs again.
    pub fn resume_runner(&self) {
        self.runner.resume();
    }

    /// Ends the runner at once and starts another. Running jobs are cancelled as stale, without their `oncancel`.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn restart_runner(&self) -> io::Result<()> {
        let mut working = self.working.lock().await;
        working.stop().await;
        *working = self.runner.start(Arc::clone(&self.variables)).await.map_err(io::Error::other)?;
        Ok(())
    }
}
