// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Metrics of the process itself.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time of this call in seconds since the epoch. The metrics are created when the process starts, so this
/// needs no code for each operating system.
pub(super) fn start_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
