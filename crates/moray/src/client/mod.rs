// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections to Moray: how they are opened, kept and replaced, and how a request gets one.

mod backoff;
mod call;
mod connection;
mod driver;
mod pending;
mod pool;
mod quick_ack;
mod resolver;
mod state;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use call::{Effect, Request, RowStream, Shape};
use pool::Pool;
use resolver::Resolver;
pub use state::State;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Config;

/// A Moray client. Clones are cheap and share the connections.
///
/// Requests of all clones are multiplexed over a few connections, which are kept open in the background. While Moray is
/// unreachable, calls fail with [`Error::Unavailable`](crate::Error::Unavailable) after a short wait; they succeed again when it
/// is back. Connections end with [`Client::close`], or when the last clone is dropped.
///
/// # Server errors
///
/// Each method names the server errors to expect, such as `ObjectNotFoundError`. They arrive as
/// [`Error::Server`](crate::Error::Server), with the [`ServerErrorKind`](crate::ServerErrorKind) of that name. Any call can also
/// fail with the other variants of [`Error`](crate::Error).
///
/// # Cancellation
///
/// Dropping the future of a call, or a stream of rows, abandons the request. A request that is still queued is never sent. A
/// request that was sent is still done by the server; its answer is discarded.
///
/// # Repeated requests
///
/// A call is tried up to three times within its deadline if it loses its connection, or if Moray loses its connection to the
/// database. It is repeated only if nothing of it was written to the socket, or if repeating it is safe: this holds for reads,
/// `putObject` without a precondition, `delObject` and `createBucket`, as each method says. Other writes fail with
/// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown). Other errors that the server sends are not tried again: the transient
/// ones last longer than a caller would wait.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<ClientInner>,
    /// Stops the tasks when the last clone is dropped. The tasks hold `shared` themselves.
    _stop: Arc<DropGuard>,
}

pub(crate) struct ClientInner {
    pub(crate) config: Arc<Config>,
    pool: Arc<Pool>,
    resolver: Resolver,
    /// Calls in flight. It is closed when the client is.
    calls: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Client {
    /// Starts a client. It neither fails nor waits: connections are opened in the background.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    pub fn new(config: Config) -> Self {
        let config = Arc::new(config.within_reason());
        let stop = CancellationToken::new();
        let shared = Arc::new(ClientInner {
            pool: Arc::new(Pool::new(config.connections, config.max_in_flight)),
            resolver: Resolver::new(&config.endpoint),
            calls: TaskTracker::new(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            config,
        });
        let resolving = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let stop = resolving.stop.cancelled();
            tokio::select! {
                () = resolving.resolver.run(&resolving.config) => {}
                () = stop => {}
            }
        });
        for _ in 0..shared.config.connections {
            shared.tasks.spawn(supervisor::keep_connected(Arc::clone(&shared)));
        }
        shared.tasks.close();
        Self { shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Returns the current state of the connections.
    pub fn state(&self) -> State {
        self.shared.pool.watch().borrow().clone()
    }

    /// Returns a receiver that is notified of every change of [`Client::state`].
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.shared.pool.watch()
    }

    /// Closes the client: accepts no more calls, waits up to `limit` for those in flight, and ends the connections. Calls that
    /// are still in flight then fail.
    pub async fn close(&self, limit: Duration) {
        self.shared.calls.close();
        // Calls that exceed the limit are ended by `stop`.
        let _ = timeout(limit, self.shared.calls.wait()).await;
        self.shared.stop.cancel();
        self.shared.tasks.wait().await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.shared.config.endpoint)
            .field("state", &self.state())
            .finish()
    }
}
