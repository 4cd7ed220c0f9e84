// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::{Replica, ReplicaInner};
use crate::db::DbError;

/// What is older than this is no answer while Moray is there.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The same while a round is under way: Moray, or this machine, has so much to do that nothing newer is to be had.
const MAX_BUSY_AGE: Duration = Duration::from_secs(3);
/// Without a read or a write for so long there are only few rounds.
const IN_USE: Duration = Duration::from_secs(2);
/// How long a read waits for a replica that is late.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a read waits for the first load, or for its turn to ask Moray meanwhile.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// How the replica stands to Moray.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// All images were known at this moment, as they were in Moray.
    pub(super) confirmed: Option<Instant>,
    /// Whether all images are there: they were loaded, and there was no gap since.
    pub(super) is_complete: bool,
    /// Whether Moray did not answer last time, or has not for a while.
    pub(super) is_away: bool,
    /// Whether it is being asked.
    pub(super) is_asked: bool,
}

/// What a read may take from the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db::moray) enum Freshness {
    /// What is there is at most a second old, or as new as it gets.
    Fresh,
    /// It is late: a round takes long. Waiting on is better than asking Moray, which has enough to do.
    Late,
    /// It is not complete: Moray is to be asked, and may well answer.
    Incomplete,
    /// Moray is away, and what is there was current so long ago.
    Stale(Duration),
}

/// What Moray is asked while the replica is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db::moray) enum Question {
    /// For one image.
    Image,
    /// For a list.
    List,
}

/// Moray is away, and what is known of it is too old to be told, or nothing.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("moray is away, and the images in memory are too old")]
pub(in crate::db::moray) struct TooOld;

impl Replica {
    /// What a read may take now. It waits a little for a round under way.
    pub(in crate::db::moray) async fn freshness(&self) -> Result<Freshness, TooOld> {
        let shared = &self.shared;
        self.note_use();
        if let Some(freshness) = shared.judge(false) {
            return freshness;
        }
        shared.wanted.notify_one();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (mut state, mut connections) = (shared.state.subscribe(), shared.bucket.client.watch_state());
        loop {
            let changed = async {
                tokio::select! {
                    changed = state.changed() => changed.is_ok(),
                    changed = connections.changed() => changed.is_ok(),
                }
            };
            // An error is the end of the process.
            let is_late = !timeout_at(deadline, changed).await.unwrap_or(false);
            if let Some(freshness) = shared.judge(is_late) {
                return freshness;
            }
        }
    }

    /// Lets rounds go on for a while.
    pub(in crate::db::moray) fn note_use(&self) {
        *self.shared.used() = Instant::now();
    }

    /// What may be told when Moray has not answered.
    pub(in crate::db::moray) fn without_moray(&self) -> Result<Freshness, TooOld> {
        self.shared.stale()
    }

    /// Asks Moray, in turn with others of the same kind, unless the replica is complete before; then there is no answer.
    pub(in crate::db::moray) async fn unless_complete<T>(
        &self,
        kind: Question,
        ask: impl Future<Output = Result<T, DbError>>,
    ) -> Option<Result<T, DbError>> {
        let turns = match kind {
            Question::Image => &self.shared.lookups,
            Question::List => &self.shared.searches,
        };
        let mut state = self.shared.state.subscribe();
        let asked = async {
            let _turn = turns.acquire().await;
            ask.await
        };
        tokio::select! {
            answer = asked => Some(answer),
            _ = state.wait_for(|state| state.is_complete) => None,
            () = tokio::time::sleep(LOAD_PATIENCE) => Some(Err(DbError::Unavailable(TooOld.into()))),
        }
    }

    /// Asks Moray, unless it turns out to be away; then there is no answer.
    pub(in crate::db::moray) async fn unless_away<T>(&self, ask: impl Future<Output = T>) -> Option<T> {
        let mut state = self.shared.state.subscribe();
        tokio::select! {
            answer = ask => Some(answer),
            // An error is the end of the process.
            _ = state.wait_for(|state| state.is_away) => None,
        }
    }

    /// Asks Moray, but for not much longer than its [`PATIENCE`] allows once Moray is known to be away; then there is no answer.
    pub(in crate::db::moray) async fn unless_long_away<T>(&self, ask: impl Future<Output = T>) -> Option<T> {
        let mut state = self.shared.state.subscribe();
        let away = async {
            // It may be back, and not known to be yet.
            tokio::time::sleep(2 * PATIENCE).await;
            // An error is the end of the process.
            let _ = state.wait_for(|state| state.is_away).await;
        };
        tokio::select! {
            answer = ask => Some(answer),
            () = away => None,
        }
    }

    /// Waits for a state of the replica that is known to be that of Moray from now on or later. Whether it came in time.
    pub(in crate::db::moray) async fn next_round(&self) -> bool {
        let now = Instant::now();
        self.shared.wanted.notify_one();
        let mut state = self.shared.state.subscribe();
        let later = state.wait_for(|state| state.confirmed.is_some_and(|confirmed| confirmed >= now));
        timeout_at((now + 2 * PATIENCE).into(), later).await.is_ok_and(|state| state.is_ok())
    }
}

impl ReplicaInner {
    /// Whether somebody has read or written lately.
    pub(super) fn is_in_use(&self) -> bool {
        self.used().elapsed() < IN_USE
    }

    /// Waits until somebody needs a round, but not for longer than this.
    pub(super) async fn wait_for_use(&self, limit: Duration) {
        // Without anybody there is a round all the same.
        let _ = tokio::time::timeout(limit, self.wanted.notified()).await;
    }

    /// `None` is to wait: a round is under way.
    fn judge(&self, is_late: bool) -> Option<Result<Freshness, TooOld>> {
        let state = *self.state.borrow();
        let age = state.confirmed.map(|confirmed| confirmed.elapsed());
        let limit = if state.is_asked { MAX_BUSY_AGE } else { MAX_AGE };
        if state.is_complete && age.is_some_and(|age| age <= limit) {
            return Some(Ok(Freshness::Fresh));
        }
        if state.confirmed.is_some() && (state.is_away || !self.bucket.client.state().is_connected()) {
            return Some(self.stale());
        }
        match state.is_complete {
            false => Some(Ok(Freshness::Incomplete)),
            true => is_late.then_some(Ok(Freshness::Late)),
        }
    }

    fn stale(&self) -> Result<Freshness, TooOld> {
        let age = self.state.borrow().confirmed.map(|confirmed| confirmed.elapsed());
        age.filter(|age| *age <= self.stale_limit).map(Freshness::Stale).ok_or(TooOld)
    }
}
