// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Limits the speed of the scrubber.

use crate::config;
use crate::storage::Throttle;

/// What a digest takes from a throttle. Throttles have a rate per second, the configuration one per minute.
const DIGEST: u64 = 60;

/// How fast the scrubber may read and write.
#[derive(Debug)]
pub(super) struct Pace {
    /// Limits the bytes read.
    pub(super) bytes: Throttle,
    /// Limits the digests added to records; `None` if none may be added.
    digests: Option<Throttle>,
}

impl Pace {
    pub(super) fn new(settings: &config::Scrub) -> Pace {
        Pace { bytes: Throttle::new(settings.rate), digests: settings.digests_per_minute.map(Throttle::new) }
    }

    /// Waits until a digest may be added to a record. Returns false if none may.
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
        // The first digest is added at once, and the others six seconds apart.
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
