// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The observable state of a client, for health checks and metrics.

use std::sync::Arc;

/// State of a client's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Number of connections that accept requests; each has answered a ping.
    pub connections: usize,
    /// Number of connections that the client tries to keep open.
    pub wanted: usize,
    /// Why the last attempt to connect failed, or why the last connection ended; `None` if neither has happened.
    pub last_error: Option<Arc<str>>,
}

impl State {
    /// Returns whether there is at least one connection.
    pub fn is_connected(&self) -> bool {
        self.connections > 0
    }
}
