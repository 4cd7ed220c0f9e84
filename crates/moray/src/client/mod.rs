// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections to Moray: which are there, how they come and go, and how a request finds one.

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

/// A client of Moray. Clones are cheap and share the connections.
///
/// Requests of all clones are multiplexed over a few connections, which are kept up in the background. When Moray is away
/// calls fail with [`Error::Unavailable`](crate::Error::Unavailable) after a short wait, and succeed again when it is
/// back. Connections end with [`Client::close`], or when the last clone is dropped.
///
/// # Cancellation
///
/// Dropping the future of a call, or a stream of rows, gives the request up. If it is still queued it is never sent. If
/// it was sent, the server finishes it all the same; its answer is discarded.
///
/// # Repeated requests
///
/// A call whose connection is lost, or Moray's connection to its database, tries up to three times within its deadline if
/// nothing of it went to the socket, or if doing it twice is the same as once: reads, `putObject` and `delObject`, `createBucket`, as each method says. Other writes
/// fail with [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown). What the server refused is not tried again: its
/// transient errors last longer than a caller would wait.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<ClientInner>,
    /// Stops the tasks, which hold `shared` themselves, with the last clone.
    _stop: Arc<DropGuard>,
}

pub(crate) struct ClientInner {
    pub(crate) config: Arc<Config>,
    pool: Arc<Pool>,
    resolver: Resolver,
    /// Calls under way. Closed when the client is.
    calls: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Client {
    /// Starts a client. It never fails and does not wait: connections come up in the background.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
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

    /// How the connections are doing.
    pub fn state(&self) -> State {
        self.shared.pool.watch().borrow().clone()
    }

    /// Tells of every change of [`Client::state`].
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.shared.pool.watch()
    }

    /// Takes no more calls, waits up to `limit` for those under way, and ends the connections. What is left then fails.
    pub async fn close(&self, limit: Duration) {
        self.shared.calls.close();
        // What is not done within the limit is ended by the stop.
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
