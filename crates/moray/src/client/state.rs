// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a client can be seen to do, for health checks and metrics.

use std::sync::Arc;

/// State of a client's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Connections that take requests: each has answered a ping.
    pub connections: usize,
    /// Connections that the client tries to keep up.
    pub wanted: usize,
    /// Why the last attempt to connect failed, or the last connection ended; `None` if that never happened.
    pub last_error: Option<Arc<str>>,
}

impl State {
    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connections > 0
    }
}
