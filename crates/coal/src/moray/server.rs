// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server: a port, a store, and fault switches.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::connection;
use super::faults::Faults;
use super::store::{Location, Store};
use crate::net::{Endpoint, Service};

/// A Moray server.
#[derive(Debug)]
pub struct MorayServer {
    endpoint: Endpoint<Moray>,
    faults: Faults,
}

#[derive(Debug)]
struct Moray {
    store: Store,
    faults: Faults,
}

impl Service for Moray {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        connection::serve(stream, self.store.clone(), self.faults.clone()).await;
    }
}

impl MorayServer {
    /// Opens the store and listens on `address`. Port 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or the port cannot be bound.
    pub async fn bind(address: SocketAddr, location: Location) -> io::Result<Self> {
        let store = tokio::task::spawn_blocking(move || Store::open(&location))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let faults = Faults::default();
        let endpoint = Endpoint::bind(address, Moray { store, faults: faults.clone() }).await?;
        Ok(Self { endpoint, faults })
    }

    /// Returns the address that the server listens on, or did before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Returns the fault switches.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Closes the port and all connections. Writes that have begun are finished, but their clients get no answer.
    pub async fn stop(&self) {
        self.endpoint.stop().await;
    }

    /// Listens again on the same port with the same data.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.endpoint.start().await
    }
}
