// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::{Replica, ReplicaInner};
use crate::db::DbError;

/// The greatest age of the replica at which reads may use it while Moray is available.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The greatest age while a round is in progress: Moray, or this machine, is then too busy for anything newer.
const MAX_BUSY_AGE: Duration = Duration::from_secs(3);
/// After this long without a read or a write there are only few rounds.
const IN_USE: Duration = Duration::from_secs(2);
/// How long a read waits for a late replica.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a read waits for the first load, or for its turn to ask Moray in the meantime.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// How the replica relates to Moray.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// The last moment at which the replica was known to match Moray.
    pub(super) confirmed: Option<Instant>,
    /// Whether all images are present: they were loaded, and there was no gap since.
    pub(super) is_complete: bool,
    /// Whether Moray did not answer the last time, or has not answered for a while.
    pub(super) is_away: bool,
    /// Whether a round is in progress.
    pub(super) is_asked: bool,
}

/// What a read may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db::moray) enum Freshness {
    /// The replica is at most a second old, or as new as possible.
    Fresh,
    /// The replica is late because a round takes long. Waiting is better than asking Moray, which is busy.
    Late,
    /// The replica is incomplete. Moray has to be asked, and may well answer.
    Incomplete,
    /// Moray is unavailable, and the replica was current this long ago.
    Stale(Duration),
}

/// What Moray is asked for while the replica is being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db::moray) enum RequestKind {
    /// One image.
    Image,
    /// A list.
    List,
}

/// Moray is unavailable, and the replica is too old to be used, or empty.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("moray is away, and the images in memory are too old")]
pub(in crate::db::moray) struct TooOld;

impl Replica {
    /// Returns what a read may use now. It waits a little for a round in progress.
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
            // An error means that the process is ending.
            let is_late = !timeout_at(deadline, changed).await.unwrap_or(false);
            if let Some(freshness) = shared.judge(is_late) {
                return freshness;
            }
        }
    }

    /// Notes a read or a write, so that the rounds continue for a while.
    pub(in crate::db::moray) fn note_use(&self) {
        *self.shared.used() = Instant::now();
    }

    /// Returns what a read may use if Moray has not answered.
    pub(in crate::db::moray) fn without_moray(&self) -> Result<Freshness, TooOld> {
        self.shared.stale()
    }

    /// Asks Moray, in turn with other questions of this kind. `None` if the replica becomes complete before Moray has answered.
    pub(in crate::db::moray) async fn unless_complete<T>(
        &self,
        kind: RequestKind,
        ask: impl Future<Output = Result<T, DbError>>,
    ) -> Option<Result<T, DbError>> {
        let turns = match kind {
            RequestKind::Image => &self.shared.lookups,
            RequestKind::List => &self.shared.searches,
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

    /// Asks Moray. `None` if Moray turns out to be unavailable.
    pub(in crate::db::moray) async fn unless_away<T>(&self, ask: impl Future<Output = T>) -> Option<T> {
        let mut state = self.shared.state.subscribe();
        tokio::select! {
            answer = ask => Some(answer),
            // An error means that the process is ending.
            _ = state.wait_for(|state| state.is_away) => None,
        }
    }

    /// Asks Moray. `None` if there is no answer after twice [`PATIENCE`] and Moray is known to be unavailable.
    pub(in crate::db::moray) async fn unless_long_away<T>(&self, ask: impl Future<Output = T>) -> Option<T> {
        let mut state = self.shared.state.subscribe();
        let away = async {
            // Moray may be back, but not known to be back yet.
            tokio::time::sleep(2 * PATIENCE).await;
            // An error means that the process is ending.
            let _ = state.wait_for(|state| state.is_away).await;
        };
        tokio::select! {
            answer = ask => Some(answer),
            () = away => None,
        }
    }

    /// Waits until the replica is known to match Moray as of now or later. Returns whether that happened in time.
    pub(in crate::db::moray) async fn next_round(&self) -> bool {
        let now = Instant::now();
        self.shared.wanted.notify_one();
        let mut state = self.shared.state.subscribe();
        let later = state.wait_for(|state| state.confirmed.is_some_and(|confirmed| confirmed >= now));
        timeout_at((now + 2 * PATIENCE).into(), later).await.is_ok_and(|state| state.is_ok())
    }
}

impl ReplicaInner {
    /// Returns whether there was a read or a write lately.
    pub(super) fn is_in_use(&self) -> bool {
        self.used().elapsed() < IN_USE
    }

    /// Waits until a round is needed, but at most for `limit`.
    pub(super) async fn wait_for_use(&self, limit: Duration) {
        // After the limit there is a round in any case.
        let _ = tokio::time::timeout(limit, self.wanted.notified()).await;
    }

    /// Returns what a read may use, or `None` if it has to wait for a round in progress.
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
