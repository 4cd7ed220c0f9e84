// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::http_refusal::Refusal;
use crate::config::Stalled;
use crate::telemetry::Metrics;

/// Is notified of what happens on connections. The methods run on the runtime's threads and must not block.
pub(super) trait ConnectionEvents: Send + Sync + 'static {
    /// A connection was accepted.
    fn opened(&self) {}
    /// An accepted connection ended.
    fn closed(&self) {}
    /// Input that is not a request was refused.
    fn refused(&self, peer: SocketAddr, refusal: &Refusal);
    /// A client was cut off because it took its answer too slowly.
    fn stalled(&self, peer: SocketAddr, stalled: Stalled);
}

/// Reports the events of the API's connections.
pub(super) struct Events {
    metrics: Arc<Metrics>,
}

impl Events {
    /// Reports to the log and to these metrics.
    pub(super) fn new(metrics: Arc<Metrics>) -> Events {
        Events { metrics }
    }
}

impl ConnectionEvents for Events {
    fn opened(&self) {
        self.metrics.connection_opened();
    }

    fn closed(&self) {
        self.metrics.connection_closed();
    }

    fn refused(&self, peer: SocketAddr, refusal: &Refusal) {
        let status = refusal.status.as_u16();
        self.metrics.observe_request("unknown", "unknown", None, status, Duration::ZERO);
        tracing::info!(
            remoteAddress = %peer.ip(),
            remotePort = peer.port(),
            code = refusal.code,
            "refused: {status}: {}",
            refusal.message
        );
    }

    fn stalled(&self, peer: SocketAddr, stalled: Stalled) {
        self.metrics.transfer_stalled_out();
        tracing::info!(remoteAddress = %peer.ip(), remotePort = peer.port(), "giving up an answer: {stalled}");
    }
}
