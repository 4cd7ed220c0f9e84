// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ReplicaInner;
use super::deletions::Deletions;
use super::interruption::{Interruption, interruption};
use super::newest::{Newest, PAGE, before};
use super::rows::{Key, Ticket};
use crate::db::moray::bucket::{BUCKET, Walk};
use crate::db::moray::failed;
use crate::db::{DbError, blocking};
use crate::telemetry::err;

/// The time from the start of a round to the start of the next.
const INTERVAL: Duration = Duration::from_millis(350);
/// After a long round there is a pause: the duration of the round divided by `PAUSE`.
const PAUSE: u32 = 4;
/// The time between rounds without reads and writes.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failed round.
const RETRY: Duration = Duration::from_millis(350);
/// After this long without an answer, Moray counts as unavailable.
const LATE: Duration = Duration::from_secs(3);

/// Each round asks again for changes that are up to this much older than the newest known one. Their times are those of
/// the Moray processes that made them: clocks differ, and a write becomes visible only when its transaction ends.
const OVERLAP: Duration = Duration::from_secs(2);
/// A longer overlap, for clocks that differ more and for transactions that wait for others.
const WIDE_OVERLAP: Duration = Duration::from_secs(60);
/// The wide overlap is used only if at most this many rows were written in it, because all of them are sent again.
const NARROW_ROWS: usize = 100;
/// The limit of rows in one of every `WIDE_EVERY` rounds.
const WIDE_ROWS: usize = 5_000;
const WIDE_EVERY: u64 = 30;
/// The rows are counted between once every `COUNT_EVERY` and once every `COUNT_WITHIN`, so that counting takes one in
/// `COUNT_SHARE` of the time. After a while without reads they are counted less often.
const COUNT_EVERY: Duration = Duration::from_secs(1);
const COUNT_WITHIN: Duration = Duration::from_secs(15);
const COUNT_SHARE: u32 = 50;
const IDLE_COUNT_EVERY: Duration = Duration::from_secs(300);
/// One of so many rounds checks some rows although nothing suggests a change.
const PATROL_EVERY: u64 = 100;

/// How often one round searches for a difference.
const COMPARISONS: usize = 3;

/// Keeps the replica current for as long as the process runs.
pub(super) async fn keep(shared: Arc<ReplicaInner>) {
    let mut task = ReplicaTask {
        shared,
        progress: None,
        last_round: Instant::now(),
        last_wide: Instant::now(),
        count_after: Instant::now(),
        rounds: 0,
        patrol: 0,
        is_interrupted: false,
        has_rested: false,
    };
    loop {
        let began = Instant::now();
        let was_in_use = task.shared.is_in_use();
        let pause = match task.watched_round(began).await {
            Ok(outcome) => {
                task.shared.metrics.replica_round(outcome);
                let took = began.elapsed();
                INTERVAL.saturating_sub(took).max(took / PAUSE)
            }
            Err(error) => {
                task.shared.metrics.replica_round("failed");
                task.interrupted(error);
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
        // There is one more round after the last use, which learns the times of the last writes.
        if !was_in_use && !task.is_interrupted {
            task.shared.wait_for_use(IDLE_INTERVAL.saturating_sub(pause)).await;
            task.has_rested = true;
        }
    }
}

struct ReplicaTask {
    shared: Arc<ReplicaInner>,
    /// `None` until everything is loaded, and after a gap.
    progress: Option<Progress>,
    /// The start of the last round that succeeded.
    last_round: Instant,
    /// The start of the last successful round that used the wide overlap.
    last_wide: Instant,
    /// When the rows may be counted again.
    count_after: Instant,
    rounds: u64,
    patrol: u64,
    is_interrupted: bool,
    /// Whether there was no round for a while, so that a read may be waiting for the next one.
    has_rested: bool,
}

/// The writes and deletions up to which everything is known.
struct Progress {
    newest: Newest,
    deletions: Deletions,
}

impl ReplicaTask {
    /// Makes a round. If it takes long, reads stop waiting for it.
    async fn watched_round(&mut self, began: Instant) -> Result<&'static str, Interruption> {
        let shared = Arc::clone(&self.shared);
        // Readers that wait for a result need not be woken for this.
        shared.state.send_if_modified(|state| {
            state.is_asked = true;
            false
        });
        let round = self.round(began);
        tokio::pin!(round);
        match tokio::time::timeout(LATE, &mut round).await {
            Ok(outcome) => outcome,
            Err(_) => {
                shared.state.send_modify(|state| state.is_away = state.is_complete);
                round.await
            }
        }
    }

    async fn round(&mut self, began: Instant) -> Result<&'static str, Interruption> {
        let mut progress = match self.progress.take() {
            Some(progress) => progress,
            None => {
                let known = self.shared.load().await?;
                // The rows were just read, so they cannot be an earlier state.
                self.is_interrupted = false;
                self.count_after = began;
                Progress { newest: Newest::now(known.written), deletions: Deletions::since(known.deleted) }
            }
        };
        let done = self.catch_up(began, &mut progress).await;
        if !matches!(done, Err(Interruption::Gap(_))) {
            self.progress = Some(progress);
        }
        let outcome = done?;
        if std::mem::take(&mut self.is_interrupted) {
            tracing::info!("the images in memory are up to date again");
        }
        self.last_round = began;
        self.has_rested = false;
        self.rounds += 1;
        if self.rounds.is_multiple_of(PATROL_EVERY) {
            self.patrol = self.shared.patrol(self.patrol).await?;
        }
        self.shared.rows().forget();
        self.shared.state.send_modify(|state| {
            state.confirmed = Some(began);
            state.is_complete = true;
            state.is_away = false;
            state.is_asked = false;
        });
        Ok(outcome)
    }

    /// Applies what has changed. The count covers only rows up to the greatest known `_id`, because other processes may
    /// insert faster than the rounds can follow. An insert that becomes visible late causes a difference, which is
    /// examined and found harmless; or it hides a deletion until the next count.
    async fn catch_up(
        &mut self,
        began: Instant,
        progress: &mut Progress,
    ) -> Result<&'static str, Interruption> {
        let is_wide = self.is_interrupted || self.rounds.is_multiple_of(WIDE_EVERY);
        // Without reads the latest changes suffice. The next round in use looks further back.
        let most = match self.shared.is_in_use() || is_wide {
            true => Some(if is_wide { WIDE_ROWS } else { NARROW_ROWS }),
            false => None,
        };
        let shared = Arc::clone(&self.shared);
        let is_counting = self.is_interrupted || self.is_count_due(began);
        let (top, bucket) = (shared.rows().top(), &shared.bucket);
        let Progress { newest, deletions } = progress;
        let count = async {
            let counting = Instant::now();
            let count = if is_counting { Some(bucket.count(0, Some(top)).await?) } else { None };
            Ok((count, counting.elapsed()))
        };
        let has_few_notes = most.is_some_and(|most| deletions.recent() <= most);
        let notes_since = match has_few_notes {
            true => deletions.newest().asked_since(WIDE_OVERLAP, self.last_wide),
            false => deletions.newest().asked_since(OVERLAP, self.last_round),
        };
        let (since, is_widest) = self.since(*newest, most).await?;
        let (count, deleted, any) =
            tokio::join!(count, deletions.take(&shared, notes_since), self.take_changes(newest, since));
        let (count, took) = count.map_err(interruption)?;
        let mut outcome = if any? | deleted? { "changed" } else { "same" };
        if let Some(count) = count {
            self.count_after = Instant::now() + (took * COUNT_SHARE).clamp(COUNT_EVERY, COUNT_WITHIN);
            if count != self.known_up_to(top).await? {
                outcome = "compared";
                self.compare(top).await?;
            }
        }
        if has_few_notes && is_widest {
            self.last_wide = began;
        }
        Ok(outcome)
    }

    /// Returns whether it is time to count the rows. A round that a read may be waiting for does not count them.
    fn is_count_due(&self, began: Instant) -> bool {
        match self.shared.is_in_use() {
            true => began >= self.count_after && !self.has_rested,
            false => began >= self.count_after + IDLE_COUNT_EVERY,
        }
    }

    /// Applies what was written from `since` on. Returns whether there was anything.
    async fn take_changes(&self, newest: &mut Newest, since: i64) -> Result<bool, Interruption> {
        // After an interruption these rows must still be there.
        let before = if self.is_interrupted { self.written_since(since).await? } else { Vec::new() };
        let sent = self.shared.clock.ticket();
        let mut walk = Walk::since(since);
        let mut shown = HashMap::new();
        let mut last = since;
        let mut any = false;
        loop {
            let asked = self.shared.clock.ticket();
            let page = self.shared.bucket.next_page(BUCKET, &mut walk, PAGE).await.map_err(interruption)?;
            shown.extend(page.rows.iter().map(|row| (Key::of(&row.key), row.mtime)));
            last = page.rows.iter().map(|row| row.mtime).fold(last, i64::max);
            any |= self.shared.take(asked, page.rows).await?;
            if page.is_last {
                break;
            }
        }
        if before.iter().any(|(key, mtime)| shown.get(key).is_none_or(|shown| shown < mtime)) {
            return Err(Interruption::Gap("the latest changes are not in moray any more"));
        }
        if last < newest.mtime {
            self.check_newest(since, &shown).await?;
        }
        let to_be_read = self.shared.rows().to_be_read(sent);
        for key in to_be_read {
            self.shared.refresh(&key).await?;
            any = true;
        }
        newest.advance(last);
        Ok(any)
    }

    /// The newest known rows are missing from the result: they were deleted, or Moray has returned to an earlier state,
    /// which this replica does not match.
    async fn check_newest(&self, since: i64, shown: &HashMap<Key, i64>) -> Result<(), Interruption> {
        let known = self.written_since(since).await?;
        for (key, _) in known.into_iter().filter(|(key, _)| !shown.contains_key(key)) {
            if self.shared.refresh(&key).await?.is_some_and(|mtime| mtime < since) {
                return Err(Interruption::Gap("moray has gone back to an earlier state"));
            }
        }
        Ok(())
    }

    /// Returns the time at which the next query begins. It covers the [`WIDE_OVERLAP`] before `newest` if about `most`
    /// rows or fewer were written in it, and the [`OVERLAP`] in any case. The flag says whether it covers the wide one.
    async fn since(&self, newest: Newest, most: Option<usize>) -> Result<(i64, bool), DbError> {
        let narrowest = newest.asked_since(OVERLAP, self.last_round);
        let Some(rows) = most else { return Ok((narrowest, false)) };
        // It is unknown what happened during an interruption.
        let widest = match self.is_interrupted {
            true => before(newest.mtime, WIDE_OVERLAP),
            false => newest.asked_since(WIDE_OVERLAP, self.last_wide),
        };
        if widest == newest.mtime {
            return Ok((widest, true));
        }
        let mut written = self.written_since(widest).await?;
        if written.len() <= rows {
            return Ok((widest, true));
        }
        let (_, (_, nth), _) = written.select_nth_unstable_by_key(rows, |(_, mtime)| Reverse(*mtime));
        Ok(((*nth).min(narrowest), false))
    }

    async fn written_since(&self, since: i64) -> Result<Vec<(Key, i64)>, DbError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.rows().written_since(since)).await
    }

    /// Searches for differences among the rows up to the `_id` `top`, until there are none or another process has
    /// changed something in the meantime. Everything that happened before this round is then known.
    async fn compare(&self, top: u64) -> Result<(), Interruption> {
        for _ in 0..COMPARISONS {
            let removed = self.shared.compare(top).await?;
            let sent: Ticket = self.shared.clock.ticket();
            let count = self.shared.bucket.count(0, Some(top)).await.map_err(failed)?;
            let is_same = count == self.known_up_to(top).await?;
            if is_same || removed > 0 || self.shared.clock.ticket() != sent {
                return Ok(());
            }
        }
        Err(Interruption::Gap("the images in memory are others than those in moray"))
    }

    /// Returns how many known rows have an `_id` up to `top`.
    async fn known_up_to(&self, top: u64) -> Result<u64, DbError> {
        let shared = Arc::clone(&self.shared);
        Ok(blocking(move || shared.rows().count_up_to(top)).await? as u64)
    }

    /// After a gap everything is loaded again. If Moray only failed to answer, the next round finds out whether there
    /// was a gap.
    fn interrupted(&mut self, interruption: Interruption) {
        // Logged once for each interruption, although the rounds go on.
        let is_new = !std::mem::replace(&mut self.is_interrupted, true);
        match interruption {
            Interruption::NoAnswer(error) => {
                if is_new {
                    tracing::warn!(err.json = %err(&error), "the images in memory cannot be kept up to date now");
                }
                self.shared.state.send_modify(|state| {
                    state.is_away = true;
                    state.is_asked = false;
                });
            }
            Interruption::Gap(reason) => {
                tracing::warn!(reason, "all images are loaded again");
                self.progress = None;
                self.shared.state.send_modify(|state| state.is_complete = false);
            }
        }
    }
}
