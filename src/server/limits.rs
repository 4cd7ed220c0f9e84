// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How the service listens, and how it treats its connections.

use std::time::Duration;

use crate::config::TransferLimits;

/// How the service listens.
#[derive(Clone, Debug)]
pub(super) struct ServeConfig {
    /// Connections open at the same time, on all listeners together. One more is answered 503 and closed.
    pub max_connections: usize,
    /// Connections over the limit that are told so at the same time; more are closed at once. It does not change while the
    /// server runs.
    pub max_refused: usize,
    /// How long a shutdown waits for requests being served.
    pub drain_limit: Duration,
    /// How each connection is treated.
    pub connection: ConnectionConfig,
}

impl Default for ServeConfig {
    fn default() -> ServeConfig {
        ServeConfig {
            max_connections: 10_000,
            max_refused: 256,
            drain_limit: Duration::from_secs(60),
            connection: ConnectionConfig::default(),
        }
    }
}

/// How connections are treated. A request may have 100 headers, as hyper has it: a limit of our own would cost every
/// request the time to clear so many places.
#[derive(Clone, Debug)]
pub(super) struct ConnectionConfig {
    /// From the first byte of a request to the end of its head; then 408.
    pub header_timeout: Duration,
    /// How long a connection without a request stays open.
    pub idle_timeout: Duration,
    /// How slowly a client may take an answer before it is cut off.
    pub transfer: TransferLimits,
    /// Bytes of a request's head; then 431.
    pub max_header_bytes: usize,
}

impl Default for ConnectionConfig {
    fn default() -> ConnectionConfig {
        ConnectionConfig {
            header_timeout: Duration::from_secs(30),
            // Node.js: two minutes, both.
            idle_timeout: Duration::from_secs(120),
            transfer: TransferLimits { idle: Duration::from_secs(120), min_rate: 0 },
            max_header_bytes: 64 << 10,
        }
    }
}
