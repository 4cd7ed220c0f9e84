// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How stored files are verified in the background.

use std::num::NonZeroU64;
use std::time::Duration;

use super::read::Reader;

const MAX_RATE: u64 = 1 << 40;
const MAX_DIGESTS_PER_MINUTE: u64 = 1_000_000;
const MAX_INTERVAL_DAYS: u64 = 3650;
const DAY: u64 = 24 * 3600;

/// The settings of the scrubber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrub {
    /// `scrubRate`: the bytes read per second.
    pub rate: NonZeroU64,
    /// `scrubDigestsPerMinute`: how many records without a SHA-256 get one per minute; `None` if none do.
    pub digests_per_minute: Option<NonZeroU64>,
    /// `scrubIntervalDays`: the time from the start of one round to the start of the next.
    pub interval: Duration,
}

impl Scrub {
    /// Returns `None` for rate 0.
    pub(super) fn read(root: &mut Reader<'_>) -> Option<Scrub> {
        let days = root.integer("scrubIntervalDays", 0..=MAX_INTERVAL_DAYS).unwrap_or_default();
        let digests = root.integer("scrubDigestsPerMinute", 0..=MAX_DIGESTS_PER_MINUTE).unwrap_or_default();
        let rate = NonZeroU64::new(root.integer("scrubRate", 0..=MAX_RATE).unwrap_or_default())?;
        let digests_per_minute = NonZeroU64::new(digests);
        Some(Scrub { rate, digests_per_minute, interval: Duration::from_secs(days * DAY) })
    }
}
