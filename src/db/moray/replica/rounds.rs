use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Shared;
use super::rows::{Key, Ticket};
use crate::db::moray::failed;
use crate::db::{DbError, blocking};
use crate::telemetry::err;

/// From the beginning of a round to that of the next.
const INTERVAL: Duration = Duration::from_millis(350);
/// Where rounds take longer, there is a pause of this part of it between them.
const PAUSE: u32 = 4;
/// A pause after a failure.
const RETRY: Duration = Duration::from_millis(350);
/// Moray that has not answered for this long counts as away.
const LATE: Duration = Duration::from_millis(1500);

/// Changes are asked for again that are so much older than the newest one. The times are those of the Moray process that
/// made the change: their clocks differ, and what is written can only be seen after the transaction has ended.
const OVERLAP: Duration = Duration::from_secs(2);
/// The same now and then, for clocks that differ more.
const WIDE_OVERLAP: Duration = Duration::from_secs(60);
const WIDE_EVERY: u64 = 30;
/// Unless more rows than these were written in that time: all of them would be sent again.
const WIDE_ROWS: usize = 5_000;
/// One in so many rounds looks at some rows although nothing is known to have happened to them.
const PATROL_EVERY: u64 = 100;

/// Rows asked for at once.
const PAGE: u64 = 500;
/// How often a difference is searched for in one round.
const COMPARISONS: usize = 3;

/// Keeps the replica for as long as the process runs.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut keeper = Keeper { shared, newest: None, rounds: 0, patrol: 0, is_interrupted: false };
    loop {
        let began = Instant::now();
        let pause = match keeper.watched_round(began).await {
            Ok(outcome) => {
                keeper.shared.metrics.replica_round(outcome);
                let took = began.elapsed();
                INTERVAL.saturating_sub(took).max(took / PAUSE)
            }
            Err(error) => {
                keeper.shared.metrics.replica_round("failed");
                keeper.interrupted(error);
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Why a round did not confirm the replica.
enum Interruption {
    /// Moray did not answer. Nothing says that what is known is wrong.
    NoAnswer(DbError),
    /// What is known is not what is in Moray, nor an earlier state of it.
    Gap(&'static str),
}

impl From<DbError> for Interruption {
    fn from(error: DbError) -> Interruption {
        Interruption::NoAnswer(error)
    }
}

struct Keeper {
    shared: Arc<Shared>,
    /// The time of the newest write that is known; `None` before everything was loaded, and after a gap.
    newest: Option<i64>,
    rounds: u64,
    patrol: u64,
    is_interrupted: bool,
}

impl Keeper {
    /// A round; if it takes long, reads no longer wait for it.
    async fn watched_round(&mut self, began: Instant) -> Result<&'static str, Interruption> {
        let shared = Arc::clone(&self.shared);
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
        let newest = match self.newest {
            Some(newest) => newest,
            None => {
                let newest = self.shared.load().await?;
                self.newest = Some(newest);
                // What was read just now is no earlier state.
                self.is_interrupted = false;
                newest
            }
        };
        // Only rows that may be known are counted: others may insert faster than can be told. An insert that becomes visible
        // late makes a difference that is looked into, and is found harmless; or it hides that something was deleted, until
        // the next round.
        let bucket = self.shared.bucket.clone();
        let top = self.shared.rows().top();
        let (count, any) = tokio::join!(bucket.count(0, Some(top)), self.take_changes(newest));
        let count = match count {
            Err(error) if error.server_kind() == Some(moray::ServerErrorKind::BucketNotFound) => {
                return Err(Interruption::Gap("the bucket is gone"));
            }
            count => count.map_err(failed)?,
        };
        let mut outcome = if any? { "changed" } else { "same" };
        if count != self.known_up_to(top).await? {
            outcome = "compared";
            self.compare(top).await?;
        }
        if std::mem::take(&mut self.is_interrupted) {
            tracing::info!("the images in memory are up to date again");
        }
        self.rounds += 1;
        if self.rounds.is_multiple_of(PATROL_EVERY) {
            self.patrol = self.shared.patrol(self.patrol).await?;
        }
        self.shared.rows().forget();
        self.shared.state.send_modify(|state| {
            state.confirmed = Some(began);
            state.is_complete = true;
            state.is_away = false;
        });
        Ok(outcome)
    }

    /// Takes what was written since `newest`, and a little before. Whether there was anything.
    async fn take_changes(&mut self, newest: i64) -> Result<bool, Interruption> {
        let wide = self.is_interrupted || self.rounds.is_multiple_of(WIDE_EVERY);
        let since = if wide { self.wide_overlap(newest).await? } else { before(newest, OVERLAP) };
        // What has to be there still, when it is not known what has happened meanwhile.
        let before = if self.is_interrupted { self.written_since(since).await? } else { Vec::new() };
        let sent = self.shared.clock.ticket();
        let (mut mtime, mut skip) = (since, 0);
        let mut shown = HashMap::new();
        let mut last = since;
        let mut any = false;
        loop {
            let asked = self.shared.clock.ticket();
            let page = self.shared.bucket.written_since(mtime, skip, PAGE).await.map_err(failed)?;
            shown.extend(page.rows.iter().map(|row| (Key::of(&row.key), row.mtime)));
            let Some(end) = page.rows.last().map(|row| row.mtime) else { break };
            last = last.max(end);
            // The next page begins with the last moment of this one, some of whose rows are known by then.
            skip = if end == mtime { skip + page.rows.len() as u64 } else { 0 };
            mtime = end;
            any |= self.shared.take(asked, page.rows).await?;
            if page.is_last {
                break;
            }
        }
        if before.iter().any(|(key, mtime)| shown.get(key).is_none_or(|shown| shown < mtime)) {
            return Err(Interruption::Gap("the latest changes are not in moray any more"));
        }
        if last < newest {
            self.check_newest(since, &shown).await?;
        }
        let unseen = self.shared.rows().unseen(sent);
        for key in unseen {
            self.shared.refresh(&key).await?;
            any = true;
        }
        // A clock that is ahead must not keep the changes of others from being asked for.
        self.newest = Some(last.min(now_millis()));
        Ok(any)
    }

    /// The newest rows are not there: they were deleted, or Moray has gone back to an earlier state, of which nothing is
    /// known here.
    async fn check_newest(&self, since: i64, shown: &HashMap<Key, i64>) -> Result<(), Interruption> {
        let known = self.written_since(since).await?;
        for (key, _) in known.into_iter().filter(|(key, _)| !shown.contains_key(key)) {
            if self.shared.refresh(&key).await?.is_some_and(|mtime| mtime < since) {
                return Err(Interruption::Gap("moray has gone back to an earlier state"));
            }
        }
        Ok(())
    }

    /// Where a query begins that is to show what was written in [`WIDE_OVERLAP`] before `newest`.
    async fn wide_overlap(&self, newest: i64) -> Result<i64, DbError> {
        let (widest, narrowest) = (before(newest, WIDE_OVERLAP), before(newest, OVERLAP));
        let mut written = self.written_since(widest).await?;
        if written.len() <= WIDE_ROWS {
            return Ok(widest);
        }
        let (_, (_, nth), _) = written.select_nth_unstable_by_key(WIDE_ROWS, |(_, mtime)| Reverse(*mtime));
        Ok((*nth).min(narrowest))
    }

    async fn written_since(&self, since: i64) -> Result<Vec<(Key, i64)>, DbError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.rows().written_since(since)).await
    }

    /// Searches for what is different among the rows up to an `_id`, until nothing is, or others have changed something
    /// meanwhile: what happened before this round began is known by then.
    async fn compare(&mut self, top: u64) -> Result<(), Interruption> {
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

    /// How many rows up to an `_id` are known.
    async fn known_up_to(&self, top: u64) -> Result<u64, DbError> {
        let shared = Arc::clone(&self.shared);
        Ok(blocking(move || shared.rows().count_up_to(top)).await? as u64)
    }

    /// After a gap everything is loaded again. Where Moray has only not answered, the next round finds out whether there
    /// was one.
    fn interrupted(&mut self, interruption: Interruption) {
        // Once for each interruption: it is tried again all the time.
        let is_new = !std::mem::replace(&mut self.is_interrupted, true);
        match interruption {
            Interruption::NoAnswer(error) => {
                if is_new {
                    tracing::warn!(err.json = %err(&error), "the images in memory cannot be kept up to date now");
                }
                self.shared.state.send_modify(|state| state.is_away = true);
            }
            Interruption::Gap(reason) => {
                tracing::warn!(reason, "all images are loaded again");
                self.newest = None;
                self.shared.state.send_modify(|state| state.is_complete = false);
            }
        }
    }
}

fn before(mtime: i64, overlap: Duration) -> i64 {
    mtime.saturating_sub(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX)).max(0)
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
