// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The limits of the listeners and of each connection.

use std::time::Duration;

use crate::config::TransferLimits;

/// The settings of the listeners.
#[derive(Clone, Debug)]
pub(super) struct ServeConfig {
    /// The most open connections on all listeners together. Any further connection is answered 503 and closed.
    pub max_connections: usize,
    /// The most connections over the limit that are answered at the same time; further ones are closed at once. It does
    /// not change while the server runs.
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

/// The settings of each connection. A request may have 100 headers, hyper's default: with a limit of our own hyper
/// would clear that many slots for every request.
#[derive(Clone, Debug)]
pub(super) struct ConnectionConfig {
    /// The time from the first byte of a request to the end of its head; after that 408.
    pub header_timeout: Duration,
    /// How long a connection without a request stays open.
    pub idle_timeout: Duration,
    /// How slowly a client may receive an answer before it is cut off.
    pub transfer: TransferLimits,
    /// The most bytes of a request's head; beyond that 431.
    pub max_header_bytes: usize,
}

impl Default for ConnectionConfig {
    fn default() -> ConnectionConfig {
        ConnectionConfig {
            header_timeout: Duration::from_secs(30),
            // Node.js uses two minutes for both.
            idle_timeout: Duration::from_secs(120),
            transfer: TransferLimits { idle: Duration::from_secs(120), min_rate: 0 },
            max_header_bytes: 64 << 10,
        }
    }
}
