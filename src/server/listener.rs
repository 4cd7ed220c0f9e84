// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Accepts connections, and ends all of them at a shutdown.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::connection::{self, ConnectionContext, Ended};
use super::events::ConnectionEvents;
use super::http_refusal::Refusal;
use super::limits::ServeConfig;

/// The first and the longest pause after a failure to accept, such as a lack of file descriptors.
const BACKOFF: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// The result of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShutdownOutcome {
    /// Connections that were cut off after [`ServeConfig::drain_limit`].
    pub cut: usize,
}

/// Serves HTTP/1 on any number of addresses until a shutdown.
pub(super) struct Server<S>(Arc<ServerInner<S>>);

/// What all connections of a server share.
struct ServerInner<S> {
    service: S,
    config: ArcSwap<ServeConfig>,
    events: Arc<dyn ConnectionEvents>,
    shutdown: CancellationToken,
    abort: CancellationToken,
    listeners: TaskTracker,
    connections: TaskTracker,
    open: AtomicUsize,
    refusing: Arc<Semaphore>,
    cut: AtomicUsize,
}

/// An address on which connections are accepted until it is closed or the server shuts down.
#[derive(Debug)]
pub(super) struct OpenListener {
    close: CancellationToken,
    is_closed: Arc<AtomicBool>,
}

impl OpenListener {
    /// Stops accepting connections there. Existing connections are still served; each ends after its next answer, or
    /// when it is idle for too long.
    pub(super) fn close(self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.close.cancel();
    }
}

/// Serves HTTP/1 on all listeners until `shutdown` is cancelled and the current requests are done.
///
/// Requests carry the extensions [`crate::api::Peer`] and [`crate::api::FileBodies`].
pub(super) async fn serve<S>(
    listeners: Vec<TcpListener>,
    service: S,
    config: ServeConfig,
    events: Arc<dyn ConnectionEvents>,
    shutdown: CancellationToken,
) -> ShutdownOutcome
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let server = Server::new(service, config, events, shutdown);
    for listener in listeners {
        server.open(listener);
    }
    server.finished().await
}

impl<S> Server<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Makes a server without listeners. It ends when `shutdown` is cancelled.
    pub(super) fn new(
        service: S,
        config: ServeConfig,
        events: Arc<dyn ConnectionEvents>,
        shutdown: CancellationToken,
    ) -> Server<S> {
        Server(Arc::new(ServerInner {
            service,
            refusing: Arc::new(Semaphore::new(config.max_refused)),
            config: ArcSwap::from_pointee(config),
            events,
            shutdown,
            abort: CancellationToken::new(),
            listeners: TaskTracker::new(),
            connections: TaskTracker::new(),
            open: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
        }))
    }

    /// Accepts connections on this listener as well. Must be called within the runtime.
    pub(super) fn open(&self, listener: TcpListener) -> OpenListener {
        let opened = OpenListener { close: self.0.shutdown.child_token(), is_closed: Arc::default() };
        let (close, is_closed) = (opened.close.clone(), Arc::clone(&opened.is_closed));
        self.0.listeners.spawn(accept(Arc::clone(&self.0), listener, close, is_closed));
        opened
    }

    /// Changes the settings for requests from now on.
    pub(super) fn set_config(&self, config: ServeConfig) {
        self.0.config.store(Arc::new(config));
    }

    /// Waits until the shutdown is over.
    pub(super) async fn finished(&self) -> ShutdownOutcome {
        let shared = &self.0;
        shared.shutdown.cancelled().await;
        shared.listeners.close();
        shared.listeners.wait().await;
        shared.connections.close();
        let drain_limit = shared.config.load().drain_limit;
        if tokio::time::timeout(drain_limit, shared.connections.wait()).await.is_err() {
            shared.abort.cancel();
            shared.connections.wait().await;
        }
        ShutdownOutcome { cut: shared.cut.load(Ordering::Relaxed) }
    }
}

/// Accepts connections until the address is closed.
async fn accept<S>(
    server: Arc<ServerInner<S>>,
    listener: TcpListener,
    close: CancellationToken,
    is_closed: Arc<AtomicBool>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut backoff = BACKOFF[0];
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = BACKOFF[0];
                admit(&server, stream, peer, &is_closed);
            }
            Err(e) if belongs_to_the_connection(&e) => {}
            Err(e) => {
                tracing::warn!(err.json = %crate::telemetry::err(&e), "cannot accept connections");
                tokio::select! {
                    () = close.cancelled() => break,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(BACKOFF[1]);
            }
        }
    }
    // Connections that the system has already accepted are served, although the address is being closed.
    while is_closed.load(Ordering::Relaxed)
        && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
    {
        admit(&server, stream, peer, &is_closed);
    }
}

/// Returns whether the error is that of a connection that ended before it was accepted.
fn belongs_to_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn admit<S>(server: &Arc<ServerInner<S>>, stream: TcpStream, peer: SocketAddr, is_closed: &Arc<AtomicBool>)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    // If this fails, the connection is gone already, which the first read will show.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    let server = Arc::clone(server);
    if server.has_place() {
        let tracker = server.connections.clone();
        let is_closed = Arc::clone(is_closed);
        tracker.spawn(async move { server.connection(stream, peer, &is_closed).await });
    } else if let Ok(permit) = Arc::clone(&server.refusing).try_acquire_owned() {
        let tracker = server.connections.clone();
        tracker.spawn(async move { server.overflow(stream, peer, permit).await });
    }
}

impl<S> ServerInner<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Returns whether another connection may be opened, and counts it if so.
    fn has_place(&self) -> bool {
        let limit = self.config.load().max_connections;
        let take = |open: usize| (open < limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Serves a connection that was counted as open.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, is_leaving: &AtomicBool) {
        self.events.opened();
        let context = ConnectionContext {
            config: &self.config,
            events: &*self.events,
            shutdown: &self.shutdown,
            abort: &self.abort,
            is_leaving,
        };
        if connection::serve(stream, peer, self.service.clone(), context).await == Ended::Cut {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.events.closed();
        self.open.fetch_sub(1, Ordering::Relaxed);
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
