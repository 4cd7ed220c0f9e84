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
use crate::rest::RestServer;

/// Settings of a Workflow API server.
#[derive(Debug, Clone, Default)]
pub struct WorkflowOptions {
    /// File for workflows and jobs. Without it they are kept in memory.
    pub file: Option<PathBuf>,
    /// Variables that every task can use, such as `imgapiUrl`.
    pub variables: Vec<(String, String)>,
}

/// The runner of a Workflow API.
#[derive(Debug)]
pub struct Workflow {
    runner: Runner,
    working: Mutex<Working>,
    variables: Arc<Vec<(String, String)>>,
}

/// A Workflow API with a runner. The runner continues while the port is closed.
pub type WorkflowServer = RestServer<Workflow>;

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
        let server = RestServer::serve(address, router(api)).await?;
        variables.push(("wfapiUrl".to_owned(), server.url()));
        let variables = Arc::new(variables);
        let working = runner.start(Arc::clone(&variables)).await.map_err(io::Error::other)?;
        Ok(server.with(Workflow { runner, working: Mutex::new(working), variables }))
    }

    /// Stops starting queued jobs.
    pub fn pause_runner(&self) {
        self.state().runner.pause();
    }

    /// Starts queued jobs again.
    pub fn resume_runner(&self) {
        self.state().runner.resume();
    }

    /// Ends the runner at once and starts another. Running jobs are cancelled as stale, without their `oncancel`.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn restart_runner(&self) -> io::Result<()> {
        let Workflow { runner, working, variables } = self.state();
        let mut working = working.lock().await;
        working.stop().await;
        *working = runner.start(Arc::clone(variables)).await.map_err(io::Error::other)?;
        Ok(())
    }
}
