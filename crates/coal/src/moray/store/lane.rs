// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A set of connections that are used by turns on blocking threads.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::lost;
use crate::moray::error::Result;

/// A set of connections, each of which runs one job at a time.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Lane {
    /// Creates a lane from connections.
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits }
    }

    /// Waits for a connection and runs `work` with it on a blocking thread. Work that has started is finished even if the caller
    /// is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|error| lost(&error))?;
        let idle = Arc::clone(&self.idle);
        let task = tokio::task::spawn_blocking(move || {
            let mut lease = Lease { connection: None, idle };
            let connection = lease.take();
            let outcome = match connection {
                Some(connection) => work(connection),
                None => Err(lost(&std::io::Error::other("no connection"))),
            };
            drop(lease);
            drop(permit);
            outcome
        });
        task.await.map_err(|error| lost(&error))?
    }
}

/// Returns the connection to the lane, even if the work panics.
struct Lease {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Lease {
    fn take(&mut self) -> Option<&mut Connection> {
        self.connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.connection.as_mut()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
