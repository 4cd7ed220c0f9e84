//! Accepting connections, and ending all of them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::connection::{self, ConnectionConfig, Ended, Surroundings};
use super::refusal::Refusal;
use crate::config::Stalled;

/// Connections over the limit that are being told so; more are closed at once.
const MAX_REFUSED_AT_ONCE: usize = 256;
/// Waits after a failure to accept, such as a lack of file descriptors: the first, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// How the service listens.
#[derive(Clone, Debug)]
pub(super) struct ServeConfig {
    /// Connections open at the same time, on all listeners together. One more is answered 503 and closed.
    pub max_connections: usize,
    /// How long a shutdown waits for requests being served.
    pub drain_limit: Duration,
    /// How each connection is treated.
    pub connection: ConnectionConfig,
}

impl Default for ServeConfig {
    fn default() -> ServeConfig {
        ServeConfig {
            max_connections: 10_000,
            drain_limit: Duration::from_secs(60),
            connection: ConnectionConfig::default(),
        }
    }
}

/// Told what happens on connections. Called on the runtime's threads: must not block.
pub(super) trait ConnectionEvents: Send + Sync + 'static {
    /// A connection was accepted.
    fn opened(&self) {}
    /// A connection of those ended.
    fn closed(&self) {}
    /// Something that is no request was answered.
    fn refused(&self, peer: SocketAddr, refusal: &Refusal);
    /// A client was cut off because it took its answer too slowly.
    fn stalled(&self, peer: SocketAddr, stalled: Stalled);
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drained {
    /// Connections that were cut off after [`ServeConfig::drain_limit`].
    pub cut: usize,
}

/// What all connections of a server share.
struct Server<S> {
    service: S,
    config: ServeConfig,
    events: Arc<dyn ConnectionEvents>,
    shutdown: CancellationToken,
    abort: CancellationToken,
    connections: TaskTracker,
    open: Arc<Semaphore>,
    refusing: Arc<Semaphore>,
    cut: AtomicUsize,
}

/// Serves HTTP/1 on all listeners until `shutdown` is cancelled and the requests at hand are done.
///
/// Requests carry the extensions [`crate::api::Peer`] and [`crate::api::FileBodies`].
pub(super) async fn serve<S>(
    listeners: Vec<TcpListener>,
    service: S,
    config: ServeConfig,
    events: Arc<dyn ConnectionEvents>,
    shutdown: CancellationToken,
) -> Drained
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let server = Arc::new(Server {
        service,
        open: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
        config,
        events,
        shutdown,
        abort: CancellationToken::new(),
        connections: TaskTracker::new(),
        refusing: Arc::new(Semaphore::new(MAX_REFUSED_AT_ONCE)),
        cut: AtomicUsize::new(0),
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::clone(&server), listener));
    }
    while accepting.join_next().await.is_some() {}
    server.connections.close();
    if tokio::time::timeout(server.config.drain_limit, server.connections.wait()).await.is_err() {
        server.abort.cancel();
        server.connections.wait().await;
    }
    Drained { cut: server.cut.load(Ordering::Relaxed) }
}

/// Accepts connections until the shutdown.
async fn accept<S>(server: Arc<Server<S>>, listener: TcpListener)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut backoff = BACKOFF[0];
    loop {
        let accepted = tokio::select! {
            () = server.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = BACKOFF[0];
                admit(&server, stream, peer);
            }
            Err(e) if belongs_to_the_connection(&e) => {}
            Err(e) => {
                tracing::warn!(err.json = %crate::telemetry::err(&e), "cannot accept connections");
                tokio::select! {
                    () = server.shutdown.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(BACKOFF[1]);
            }
        }
    }
}

/// Errors of a connection that ended before it was accepted.
fn belongs_to_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn admit<S>(server: &Arc<Server<S>>, stream: TcpStream, peer: SocketAddr)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    // Failures mean that the connection is gone already, which reading from it will show.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    let server = Arc::clone(server);
    if let Ok(permit) = Arc::clone(&server.open).try_acquire_owned() {
        let tracker = server.connections.clone();
        tracker.spawn(async move { server.connection(stream, peer, permit).await });
    } else if let Ok(permit) = Arc::clone(&server.refusing).try_acquire_owned() {
        let tracker = server.connections.clone();
        tracker.spawn(async move { server.overflow(stream, peer, permit).await });
    }
}

impl<S> Server<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        self.events.opened();
        let around = Surroundings {
            config: &self.config.connection,
            events: &*self.events,
            shutdown: &self.shutdown,
            abort: &self.abort,
        };
        if connection::serve(stream, peer, self.service.clone(), around).await == Ended::Cut {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.events.closed();
        drop(permit);
    }

    async fn overflow(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let refusal = Refusal::overloaded();
        self.events.refused(peer, &refusal);
        tokio::select! {
            () = self.abort.cancelled() => {}
            () = connection::finish(stream, Some(&refusal), &self.shutdown) => {}
        }
        drop(permit);
    }
}
