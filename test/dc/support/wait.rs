// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Waiting for a condition, with a deadline that only a hang reaches.

use std::future::Future;
use std::time::Duration;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Time between the first two looks at a condition, and at most between later ones: each look costs the machine something.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(40));

/// The result of `future`.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("{what}: nothing for {} s", DEADLINE.as_secs())
    };
    output
}

/// What `condition` finds, once it finds something.
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
