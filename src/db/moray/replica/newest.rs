// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, Instant, SystemTime};

/// The number of rows that one query asks for.
pub(super) const PAGE: u64 = 500;

/// The newest known write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    /// The time of the write, by the clock of the Moray process that made it.
    pub(super) mtime: i64,
    /// When it became known.
    pub(super) since: Instant,
}

impl Newest {
    /// A write that has just become known.
    pub(super) fn now(mtime: i64) -> Newest {
        Newest { mtime, since: Instant::now() }
    }

    /// Updates the newest write after a query.
    pub(super) fn advance(&mut self, mtime: i64) {
        // A clock that is ahead must not hide the later changes of other processes.
        let mtime = mtime.min(now_millis());
        if mtime > self.mtime {
            *self = Newest::now(mtime);
        }
        // The time may also go back, because the newest row may have been deleted.
        self.mtime = mtime;
    }

    /// Returns the time at which a query has to begin to show everything that can have been written since the last
    /// round, if clocks differ by up to `overlap`. The longer there is no new write, the less of the overlap is left;
    /// in the end the query shows only the newest row.
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
