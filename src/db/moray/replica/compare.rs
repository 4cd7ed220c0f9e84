// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::sync::Arc;

use super::ReplicaInner;
use super::rows::Key;
use crate::db::moray::failed;
use crate::db::{DbError, blocking};

/// A differing range with at most this many known rows is read instead of divided.
const LEAF: usize = 128;
/// The number of rows that one query asks for.
const PAGE: u64 = 500;

/// A range of `_id`s, and the known rows in it.
struct Range<'a> {
    first: u64,
    last: u64,
    known: &'a [(u64, Key)],
}

impl ReplicaInner {
    /// Finds rows up to the `_id` `top` that were deleted, or that are not known here, and corrects the replica.
    /// Returns how many rows were removed.
    ///
    /// A row keeps its `_id` for as long as it exists, so ranges of `_id`s are counted. A range with as many rows as
    /// are known here is skipped; any other range is halved until it is small enough to be read.
    pub(super) async fn compare(self: &Arc<Self>, top: u64) -> Result<usize, DbError> {
        let known = self.known_ids(top).await?;
        let mut ranges = vec![Range { first: 0, last: top, known: &known }];
        let mut removed = 0;
        while let Some(range) = ranges.pop() {
            let count = self.bucket.count(range.first, Some(range.last)).await.map_err(failed)?;
            if count == range.known.len() as u64 {
                continue;
            }
            if range.known.len() <= LEAF {
                removed += self.read_range(range.first, Some(range.last), range.known).await?;
                continue;
            }
            let (low, high) = range.known.split_at(range.known.len() / 2);
            let middle = high.first().map_or(range.first, |(id, _)| *id);
            ranges.push(Range { first: range.first, last: middle.saturating_sub(1), known: low });
            ranges.push(Range { first: middle, last: range.last, known: high });
        }
        Ok(removed)
    }

    async fn known_ids(self: &Arc<Self>, top: u64) -> Result<Vec<(u64, Key)>, DbError> {
        let shared = Arc::clone(self);
        blocking(move || shared.rows().ids(top)).await
    }

    /// Applies all rows of a range, and removes known rows that are no longer in Moray. Returns how many were removed.
    async fn read_range(
        self: &Arc<Self>,
        mut first: u64,
        last: Option<u64>,
        known: &[(u64, Key)],
    ) -> Result<usize, DbError> {
        let sent = self.clock.ticket();
        let mut shown = HashSet::new();
        loop {
            let asked = self.clock.ticket();
            let page = self.bucket.page(first, last, PAGE).await.map_err(failed)?;
            shown.extend(page.rows.iter().map(|row| Key::of(&row.key)));
            let next = page.rows.last().map(|row| row.id + 1);
            self.take(asked, page.rows).await?;
            match next {
                Some(next) if !page.is_last => first = next,
                _ => break,
            }
        }
        let known = known.iter().map(|(id, key)| (Some(*id), key.clone())).collect();
        self.remove_missing(sent, known, shown).await
    }

    /// Compares the next rows, from the `_id` `first` on, even if nothing suggests a difference. Returns where the next
    /// call begins.
    pub(super) async fn patrol(self: &Arc<Self>, first: u64) -> Result<u64, DbError> {
        let known = self.known_ids(u64::MAX).await?;
        let start = known.partition_point(|(id, _)| *id < first);
        let part = &known[start..known.len().min(start + LEAF)];
        let last = known.get(start + LEAF).map(|(id, _)| id - 1);
        self.read_range(first, last, part).await?;
        Ok(last.map_or(0, |last| last + 1))
    }
}
