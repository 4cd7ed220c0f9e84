// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One HTTP/1 connection: hyper, surrounded by deadlines, refusals and a close that loses no answer.
//!
//! As in Node.js, a client may close its sending side after the request and still gets its answer. Therefore a client
//! that has gone away is noticed only when the answer is written.

mod io;
mod linger;
pub(super) mod state;
#[cfg(test)]
pub(in crate::server) mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::events::ConnectionEvents;
use super::http_refusal::{Refusal, status_of};
use super::limits::{ConnectionConfig, ServeConfig};
use super::sendfile::file_body;
use crate::api::{FileBodies, Peer};
use io::ConnectionIo;
pub(super) use state::ConnectionState;
use state::{ConnectionHandle, Overdue, Phase};

/// What all connections share.
pub(super) struct ConnectionContext<'a> {
    /// How connections are treated. Each request uses the version that is current when it begins.
    pub(super) config: &'a ArcSwap<ServeConfig>,
    /// Notified of refusals and stalls.
    pub(super) events: &'a dyn ConnectionEvents,
    /// Ends the connection after the current request.
    pub(super) shutdown: &'a CancellationToken,
    /// Ends the connection at once.
    pub(super) abort: &'a CancellationToken,
    /// Whether the connection ends after its next answer.
    pub(super) is_leaving: &'a AtomicBool,
}

/// The time from the first byte of a request to the end of its head, while the server shuts down.
const LAST_HEAD: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Finished,
    /// By `abort`, perhaps in the middle of an answer.
    Cut,
}

/// What is left to do once hyper has finished with a connection.
enum CloseAction {
    Refuse(Refusal),
    Linger,
    Close,
    Cut,
}

/// Serves requests until the connection ends.
pub(super) async fn serve<S>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    context: ConnectionContext<'_>,
) -> Ended
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let shared = Arc::new(ConnectionState::new(peer, context.config.load().connection.transfer));
    let action = drive(stream, &shared, peer, service, &context).await;
    let Some(stream) = shared.take_stream() else { return Ended::Finished };
    let refusal = match action {
        CloseAction::Cut => return Ended::Cut,
        CloseAction::Close => return Ended::Finished,
        CloseAction::Linger => None,
        CloseAction::Refuse(refusal) => Some(refusal),
    };
    if let Some(refusal) = &refusal {
        context.events.refused(peer, refusal);
    }
    tokio::select! {
        () = context.abort.cancelled() => {}
        () = finish(stream, refusal.as_ref(), context.shutdown) => {}
    }
    Ended::Finished
}

/// Sends a refusal, if there is one, and closes the connection so that the client receives the last answer.
pub(super) async fn finish(stream: TcpStream, refusal: Option<&Refusal>, shutdown: &CancellationToken) {
    let written = match refusal {
        Some(refusal) => linger::write_all(&stream, &refusal.to_bytes()).await,
        None => true,
    };
    if written {
        linger::close(&stream, shutdown).await;
    }
}

/// Runs hyper while watching the deadlines and the tokens. Afterwards `shared` has the socket.
async fn drive<S>(
    stream: TcpStream,
    shared: &Arc<ConnectionState>,
    peer: SocketAddr,
    service: S,
    context: &ConnectionContext<'_>,
) -> CloseAction
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let handle = ConnectionHandle(Arc::clone(shared));
    let of_this_connection = handle.clone();
    let bodies = FileBodies::new(move |file, range| file_body(file, range, Some(&of_this_connection)));
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        handle.0.enter(Phase::Serving);
        handle.0.keep_to(context.config.load().connection.transfer);
        let shared = Arc::clone(&handle.0);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(bodies.clone());
        #[cfg(test)]
        request.extensions_mut().insert(handle.clone());
        let response = service.clone().oneshot(request);
        async move {
            let mut response = response.await?;
            if context.is_leaving.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| TrackedBody { body, shared }))
        }
    });
    let config = context.config.load_full();
    let config = &config.connection;
    let mut connection = pin!(
        http1::Builder::new()
            .half_close(true)
            .max_header_size(config.max_header_bytes)
            .serve_connection(TokioIo::new(ConnectionIo::new(stream, Arc::clone(shared))), answer)
    );
    // A shutdown does not wait for a request that has hardly begun.
    let stopping =
        ConnectionConfig { header_timeout: config.header_timeout.min(LAST_HEAD), ..config.clone() };
    let mut told = false;
    loop {
        let wait = match shared.overdue(if told { &stopping } else { config }) {
            Ok(wait) => wait,
            Err(Overdue::Head) => return CloseAction::Refuse(Refusal::timeout()),
            Err(Overdue::Idle) => return CloseAction::Close,
            Err(Overdue::Stalled(stalled)) => {
                context.events.stalled(peer, stalled);
                return CloseAction::Close;
            }
        };
        // `FuturesUnordered` polls a future only when it was woken. The connection is polled for every piece of input,
        // and polling a token each time would take locks that all connections share.
        let mut event = FuturesUnordered::from_iter([next_event(context, told, wait)]);
        tokio::select! {
            result = connection.as_mut() => return rest_of(shared, result),
            event = event.next() => match event {
                Some(Event::Abort) => return CloseAction::Cut,
                Some(Event::Shutdown) => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                Some(Event::Look) | None => {}
            }
        }
    }
}

/// What can happen to a connection besides its traffic.
enum Event {
    Abort,
    Shutdown,
    /// It is time to check the deadlines.
    Look,
}

/// Waits for the next event. The shutdown is not one if the connection has already been `told` about it.
async fn next_event(context: &ConnectionContext<'_>, told: bool, wait: Duration) -> Event {
    tokio::select! {
        () = context.abort.cancelled() => Event::Abort,
        () = context.shutdown.cancelled(), if !told => Event::Shutdown,
        () = tokio::time::sleep(wait) => Event::Look,
    }
}

/// Decides what the client still has to receive.
fn rest_of(shared: &ConnectionState, result: Result<(), hyper::Error>) -> CloseAction {
    let withheld = shared.withheld();
    match result {
        Err(error) if !withheld.is_empty() => {
            CloseAction::Refuse(Refusal::from_parser(status_of(&withheld), &error.to_string()))
        }
        // hyper does not answer the preface of HTTP/2.
        Err(error) if error.is_parse() && shared.phase().awaits_head() => CloseAction::Refuse(
            Refusal::from_parser(StatusCode::HTTP_VERSION_NOT_SUPPORTED, &error.to_string()),
        ),
        Err(error) if error.is_incomplete_message() && shared.phase() == Phase::Head => {
            CloseAction::Refuse(Refusal::from_parser(StatusCode::BAD_REQUEST, "it ended within its head"))
        }
        Err(_) => CloseAction::Close,
        Ok(()) if shared.at_eof() => CloseAction::Close,
        Ok(()) => CloseAction::Linger,
    }
}

/// A response body that notifies the connection when hyper has taken all of it.
struct TrackedBody {
    body: Body,
    shared: Arc<ConnectionState>,
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.shared.enter(Phase::Flushing);
    }
}
