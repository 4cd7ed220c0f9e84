// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server: a port, TLS, a directory, and a fault switch.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Authority};
use super::dn::Dn;
use super::faults::UfdsFaults;
use super::live::LiveDirectory;
use super::tls;
use crate::net::{Endpoint, Service};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Settings of a UFDS server.
#[derive(Clone)]
pub struct UfdsOptions {
    /// Name that may search and change keys.
    pub root_dn: Dn,
    /// Password of that name.
    pub root_password: String,
    /// The entries.
    pub directory: LiveDirectory,
}

/// Leaves out the password.
impl Debug for UfdsOptions {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("UfdsOptions").field("root_dn", &self.root_dn).finish_non_exhaustive()
    }
}

/// A UFDS server.
#[derive(Debug)]
pub struct UfdsServer {
    endpoint: Endpoint<Ufds>,
    directory: LiveDirectory,
    faults: UfdsFaults,
}

struct Ufds {
    tls: TlsAcceptor,
    authority: Arc<Authority>,
    faults: UfdsFaults,
}

impl Debug for Ufds {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ufds").finish_non_exhaustive()
    }
}

impl Service for Ufds {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
        match tokio::time::timeout(HANDSHAKE_DEADLINE, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => connection::serve(stream, &self.authority, &self.faults).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS with a client"),
            Err(_) => tracing::debug!("a client did not finish its TLS handshake"),
        }
    }
}

impl UfdsServer {
    /// Listens on `address`. Port 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Fails if the certificate cannot be created or the port cannot be bound.
    pub async fn bind(address: SocketAddr, options: UfdsOptions) -> io::Result<Self> {
        let faults = UfdsFaults::default();
        let directory = options.directory.clone();
        let service = Ufds {
            tls: tls::acceptor()?,
            authority: Arc::new(Authority::new(options)),
            faults: faults.clone(),
        };
        Ok(Self { endpoint: Endpoint::bind(address, service).await?, directory, faults })
    }

    /// Returns the address that the server listens on, or did before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Returns the live directory.
    pub fn directory(&self) -> &LiveDirectory {
        &self.directory
    }

    /// Returns the fault switch.
    pub fn faults(&self) -> &UfdsFaults {
        &self.faults
    }

    /// Closes the port and all connections.
    pub async fn stop(&self) {
        self.endpoint.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.endpoint.start().await
    }
}
