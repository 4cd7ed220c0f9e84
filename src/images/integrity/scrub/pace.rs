// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How fast the scrubber goes.

use crate::config;
use crate::storage::Throttle;

/// What a digest takes of a throttle whose rate, meant for seconds, is a number of digests per minute.
const DIGEST: u64 = 60;

/// What the scrubber may read and write.
#[derive(Debug)]
pub(super) struct Pace {
    /// What it reads.
    pub(super) bytes: Throttle,
    /// The records that it writes; `None` for none at all.
    digests: Option<Throttle>,
}

impl Pace {
    pub(super) fn new(settings: &config::Scrub) -> Pace {
        Pace { bytes: Throttle::new(settings.rate), digests: settings.digests_per_minute.map(Throttle::new) }
    }

    /// Waits until a record may get a digest; false if none may.
    pub(super) async fn may_add_digest(&mut self) -> bool {
        match &mut self.digests {
            Some(throttle) => {
                throttle.spend(DIGEST).await;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn pace(digests_per_minute: u64) -> Pace {
        let digests_per_minute = NonZeroU64::new(digests_per_minute);
        Pace::new(&config::Scrub { rate: NonZeroU64::MIN, digests_per_minute, interval: Duration::ZERO })
    }

    #[tokio::test(start_paused = true)]
    async fn digests_are_spread() {
        let (mut pace, start) = (pace(10), Instant::now());
        for _ in 0..=30 {
            assert!(pace.may_add_digest().await);
        }
        // The first one at once, and the others six seconds apart.
        let took = start.elapsed();
        assert!((Duration::from_secs(179)..Duration::from_secs(181)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn none_may_be_wanted() {
        let start = Instant::now();
        assert!(!pace(0).may_add_digest().await);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
