// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What other processes have deleted, as they have noted it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::ReplicaInner;
use super::interruption::{Interruption, interruption};
use super::newest::{Newest, PAGE};
use super::rows::Key;
use crate::db::DbError;
use crate::db::moray::bucket::{DELETIONS, Walk};
use crate::telemetry::err;

/// How long notes stay: longer than any process goes without a round that asks for them, or else counts the rows.
const KEPT: Duration = Duration::from_secs(3600);
/// Images that are looked up at a time.
const AT_A_TIME: usize = 8;

/// The notes that are known.
#[derive(Debug)]
pub(super) struct Deletions {
    newest: Newest,
    /// Those that may be shown again, with the times that they had.
    taken: HashMap<Key, i64>,
    /// When old ones were removed.
    trimmed: Option<Instant>,
}

impl Deletions {
    /// What was deleted up to this time is known.
    pub(super) fn since(mtime: i64) -> Deletions {
        Deletions { newest: Newest::now(mtime), taken: HashMap::new(), trimmed: None }
    }

    /// The newest one.
    pub(super) fn newest(&self) -> Newest {
        self.newest
    }

    /// How many of them may be shown again.
    pub(super) fn recent(&self) -> usize {
        self.taken.len()
    }

    /// Takes those from `since` on. Whether there was anything new.
    pub(super) async fn take(
        &mut self,
        shared: &Arc<ReplicaInner>,
        since: i64,
    ) -> Result<bool, Interruption> {
        self.taken.retain(|_, mtime| *mtime >= since);
        let mut walk = Walk::since(since);
        let (mut last, mut any) = (since, false);
        loop {
            let page = shared.bucket.next_page(DELETIONS, &mut walk, PAGE).await.map_err(interruption)?;
            let notes: Vec<_> = page.rows.iter().map(|row| (Key::of(&row.key), row.mtime)).collect();
            last = notes.iter().map(|(_, mtime)| *mtime).fold(last, i64::max);
            let new = notes.into_iter().filter(|(key, mtime)| self.taken.get(key) != Some(mtime));
            let new: Vec<_> = new.collect();
            any |= !new.is_empty();
            self.look_up(shared, &new).await?;
            self.taken.extend(new);
            if page.is_last {
                break;
            }
        }
        self.newest.advance(last.max(self.newest.mtime));
        self.trim(shared).await;
        Ok(any)
    }

    /// Looks for the images of these notes that are here: they may have been made anew since.
    async fn look_up(&self, shared: &Arc<ReplicaInner>, notes: &[(Key, i64)]) -> Result<(), DbError> {
        let known: Vec<_> = {
            let rows = shared.rows();
            notes.iter().map(|(key, _)| key).filter(|key| rows.is_known(key)).cloned().collect()
        };
        let lookups = known.into_iter().map(|key| {
            let shared = Arc::clone(shared);
            async move { shared.refresh(&key).await }
        });
        let lookups: Vec<_> = lookups.collect();
        stream::iter(lookups).buffer_unordered(AT_A_TIME).try_for_each(async |_| Ok(())).await
    }

    /// Removes old notes, now and then.
    async fn trim(&mut self, shared: &ReplicaInner) {
        let is_due = self.trimmed.is_none_or(|trimmed| trimmed.elapsed() >= KEPT);
        if self.newest.mtime == 0 || !is_due {
            return;
        }
        self.trimmed = Some(Instant::now());
        if let Err(error) =
            shared.bucket.forget_deletions(self.newest.asked_since(KEPT, Instant::now())).await
        {
            tracing::debug!(err.json = %err(&error), "old notes of deletions could not be removed");
        }
    }
}
