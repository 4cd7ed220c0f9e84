// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Serves metrics on a separate listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::descriptors::Descriptors;
use super::events::ConnectionEvents;
use super::http_refusal::Refusal;
use super::limits::{ConnectionConfig, ServeConfig};
use super::listener;
use crate::api;
use crate::config::Stalled;
use crate::images::CurrentApp;
use crate::telemetry::{self, LogControl, Metrics};

/// The pause between attempts to listen for metrics.
const RETRY: Duration = Duration::from_secs(10);
/// There are only few scrapers.
const CONNECTIONS: usize = 100;
const DRAIN: Duration = Duration::from_secs(1);

/// Serves metrics at one address at a time, or at none.
pub(super) struct MetricsServer {
    router: Router,
    shutdown: CancellationToken,
    /// Stops serving at the current address.
    stop: CancellationToken,
}

impl MetricsServer {
    /// Makes a server that does not listen yet. It ends with `shutdown`.
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        app: CurrentApp,
        log: LogControl,
        shutdown: CancellationToken,
    ) -> MetricsServer {
        MetricsServer { router: router(metrics, app, log), stop: shutdown.child_token(), shutdown }
    }

    /// Serves at this address. If the address cannot be used, it is tried again, because the API does not depend on it.
    /// The reason is logged once, and again when it changes.
    pub(super) fn start(&mut self, address: SocketAddr) {
        let (router, stop) = (self.router.clone(), self.stop.clone());
        tokio::spawn(async move {
            let failed = |error: &io::Error| {
                tracing::error!(component = "metrics", err.json = %telemetry::err(error), "cannot listen on {address}");
            };
            tokio::select! {
                () = stop.cancelled() => {}
                listener = bind_when_possible(address, failed) => serve(listener, router, stop.clone()).await,
            }
        });
    }

    /// Serves on this listener only from now on, or not at all.
    pub(super) fn move_to(&mut self, listener: Option<TcpListener>) {
        let stop = self.shutdown.child_token();
        std::mem::replace(&mut self.stop, stop).cancel();
        if let Some(listener) = listener {
            tokio::spawn(serve(listener, self.router.clone(), self.stop.clone()));
        }
    }
}

/// Listens at `address` as soon as that is possible. `failed` is called with each new reason why it is not.
async fn bind_when_possible(address: SocketAddr, failed: impl Fn(&io::Error)) -> TcpListener {
    let mut told = None;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                let reason = error.to_string();
                if told.as_ref() != Some(&reason) {
                    failed(&error);
                    told = Some(reason);
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(component = "metrics", "metrics server started on http://{address}/metrics");
    }
    let most = Descriptors::current().share(CONNECTIONS).metrics;
    let limits = ServeConfig {
        max_connections: most,
        max_refused: most,
        drain_limit: DRAIN,
        connection: ConnectionConfig::default(),
    };
    listener::serve(vec![listener], router, limits, Arc::new(NoEvents), stop).await;
}

fn router(metrics: &Arc<Metrics>, current: CurrentApp, log: LogControl) -> Router {
    let (metrics, started) = (Arc::clone(metrics), Instant::now());
    api::metrics_router(Arc::clone(&metrics), move || {
        let app = current.get();
        metrics.set_moray_connections(app.db.connections());
        let status = app.db.status();
        metrics.set_database(
            status.images.unwrap_or(0),
            status.damaged.len(),
            status.age.unwrap_or_else(|| started.elapsed()),
        );
        metrics.set_log_dropped(log.dropped());
    })
}

/// Connections for metrics are not counted.
struct NoEvents;

impl ConnectionEvents for NoEvents {
    fn refused(&self, _peer: SocketAddr, _refusal: &Refusal) {}

    fn stalled(&self, _peer: SocketAddr, _stalled: Stalled) {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_in_use_is_reported_once_and_used_when_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let reports = Cell::new(0);
        let mut bound = std::pin::pin!(bind_when_possible(address, |_| reports.set(reports.get() + 1)));
        tokio::time::timeout(RETRY * 10, &mut bound).await.unwrap_err();
        assert_eq!(reports.get(), 1);
        drop(taken);
        assert_eq!(bound.await.local_addr().unwrap(), address);
        assert_eq!(reports.get(), 1);
    }
}
