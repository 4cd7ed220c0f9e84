// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Deletions that other processes have noted in Moray.

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

/// How long notes are kept. A process that has had no round for this long finds the deletions by counting the rows, and no longer
/// knows which version of a manifest was deleted last.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often old notes are removed.
const TRIMMED_EVERY: Duration = Duration::from_secs(3600);
/// How many images are looked up at a time.
const AT_A_TIME: usize = 8;

/// The notes that were read.
#[derive(Debug)]
pub(super) struct Deletions {
    newest: Newest,
    /// Notes that a query may return again, with their times.
    taken: HashMap<Key, i64>,
    /// When old notes were last removed.
    trimmed: Option<Instant>,
}

impl Deletions {
    /// Starts with the deletions up to this time known.
    pub(super) fn since(mtime: i64) -> Deletions {
        Deletions { newest: Newest::now(mtime), taken: HashMap::new(), trimmed: None }
    }

    /// Returns the newest deletion.
    pub(super) fn newest(&self) -> Newest {
        self.newest
    }

    /// Returns how many notes a query may return again.
    pub(super) fn recent(&self) -> usize {
        self.taken.len()
    }

    /// Reads and applies the notes from `since` on. Returns whether there were new ones.
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

    /// Looks up the noted images that are still known here. They may have been created again since.
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

    /// Removes old notes from time to time.
    async fn trim(&mut self, shared: &ReplicaInner) {
        let is_due = self.trimmed.is_none_or(|trimmed| trimmed.elapsed() >= TRIMMED_EVERY);
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
