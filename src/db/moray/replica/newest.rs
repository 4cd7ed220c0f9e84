// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, Instant, SystemTime};

/// Rows asked for at once.
pub(super) const PAGE: u64 = 500;

/// The newest write that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    /// Its time, by the clock of the Moray process that made it.
    pub(super) mtime: i64,
    /// When it became known.
    pub(super) since: Instant,
}

impl Newest {
    /// One that has become known just now.
    pub(super) fn now(mtime: i64) -> Newest {
        Newest { mtime, since: Instant::now() }
    }

    /// The one that is the newest now.
    pub(super) fn advance(&mut self, mtime: i64) {
        // A clock that is ahead must not keep the changes of others from being asked for.
        let mtime = mtime.min(now_millis());
        if mtime > self.mtime {
            *self = Newest::now(mtime);
        }
        // What was the newest may have been deleted.
        self.mtime = mtime;
    }

    /// Where a query begins that shows everything that can have been written since the last round began, if clocks differ
    /// by `overlap`: as time goes by without a write, those of before that time become fewer, and at last only the newest
    /// one is left.
    pub(super) fn asked_since(&self, overlap: Duration, last_round: Instant) -> i64 {
        before(self.mtime, overlap.saturating_sub(last_round.saturating_duration_since(self.since)))
    }
}

pub(super) fn before(mtime: i64, overlap: Duration) -> i64 {
    mtime.saturating_sub(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX)).max(0)
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
