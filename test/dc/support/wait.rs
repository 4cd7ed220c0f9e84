// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Waits for conditions, with a deadline that only a hang reaches.

use std::future::Future;
use std::time::Duration;

/// Time limit of any operation.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// First interval between two checks of a condition, and the maximum of later ones. Each check costs processor time.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(40));

/// Waits for `future`.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("{what}: nothing for {} s", DEADLINE.as_secs())
    };
    output
}

/// Polls `condition` until it returns a value.
pub(crate) async fn wait_until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        let mut interval = INTERVALS.0;
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(interval).await;
            interval = (interval * 2).min(INTERVALS.1);
        }
    };
    within(what, wait).await
}
