//! Facts about the process itself.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of this call in seconds since the epoch. Metrics are made at the start of the process, which saves
/// reading a different file on every operating system.
pub(super) fn start_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
