// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A TCP port that can be closed and opened again, for tests of outages.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Maximum number of connections of one port. More connections wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;

/// What handles the connections of a port.
pub(crate) trait Service: Send + Sync + 'static {
    /// Serves a connection until either side ends it. The future is dropped when the port is closed.
    fn serve(self: Arc<Self>, stream: TcpStream) -> impl Future<Output = ()> + Send;
}

/// A port and the service behind it.
#[derive(Debug)]
pub(crate) struct Endpoint<S> {
    service: Arc<S>,
    address: SocketAddr,
    running: Mutex<Option<RunningEndpoint>>,
}

#[derive(Debug)]
struct RunningEndpoint {
    stop: CancellationToken,
    tasks: TaskTracker,
    // Closes the port when the endpoint is dropped.
    _guard: DropGuard,
}

impl<S: Service> Endpoint<S> {
    /// Binds and starts. Port 0 is replaced by a free port, which later starts use again.
    pub(crate) async fn bind(address: SocketAddr, service: S) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(service);
        let running = RunningEndpoint::new(listener, Arc::clone(&service));
        Ok(Self { service, address, running: Mutex::new(Some(running)) })
    }

    /// Returns the address with the port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and all its connections. Unfinished requests get no answer.
    pub(crate) async fn stop(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop.cancel();
            running.tasks.close();
            running.tasks.wait().await;
        }
    }

    /// Opens the port again if it is closed.
    pub(crate) async fn start(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(RunningEndpoint::new(listener, Arc::clone(&self.service)));
        }
        Ok(())
    }
}

impl RunningEndpoint {
    fn new<S: Service>(listener: TcpListener, service: Arc<S>) -> Self {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, service, stop.clone(), tasks.clone()));
        Self { _guard: stop.clone().drop_guard(), stop, tasks }
    }
}

async fn accept<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let next = async || {
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        io::Result::Ok((permit, stream))
    };
    while let Some(accepted) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((permit, stream)) => {
                let (service, stop) = (Arc::clone(&service), stop.clone());
                tasks.spawn(async move {
                    stop.run_until_cancelled(service.serve(stream)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most likely there are no file descriptors left; retrying at once would only waste time.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Chooses the cryptography provider of this process. Without one, no client can be created, not even a client without TLS. The
/// clients of a test are created after its datacenter, so they need no choice of their own.
pub(crate) fn use_ring() {
    // An error means that a provider has already been chosen.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}
