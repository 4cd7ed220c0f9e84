// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Longer than any working operation takes, even on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const INTERVAL: Duration = Duration::from_millis(20);

/// Polls `state` until it returns `Ok`. A failure shows its last result.
pub(crate) async fn wait_for<T, E: Debug>(
    what: &str,
    deadline: Duration,
    mut state: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + deadline;
    let mut latest = None;
    loop {
        match timeout(end.saturating_duration_since(Instant::now()), state()).await {
            Ok(Ok(reached)) => return reached,
            Ok(Err(error)) => latest = Some(error),
            Err(_) => {}
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}; latest: {latest:?}");
        sleep(INTERVAL).await;
    }
}
