// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::sync::Arc;

use super::ReplicaInner;
use super::rows::Key;
use crate::db::moray::failed;
use crate::db::{DbError, blocking};

/// A range with so many rows here is read.
const LEAF: usize = 128;
/// Rows asked for at once.
const PAGE: u64 = 500;

/// A range of `_id`s, and the part of the known ones in it.
struct Range<'a> {
    first: u64,
    last: u64,
    known: &'a [(u64, Key)],
}

impl ReplicaInner {
    /// Finds out which rows up to the `_id` `top` are no longer there, or are not known here, and makes it right. How many
    /// were removed.
    ///
    /// An `_id` stays with a row for as long as it is there. So ranges of `_id`s are counted: one with as many rows as are
    /// known here is left alone, another is halved until it is small enough to be read.
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

    /// Takes all rows of a range as they are, and removes what is known here and not there. How many were removed.
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

    /// Compares the next rows from `_id` `first` on with what is known of them, whatever the counts say. Where to go on.
    pub(super) async fn patrol(self: &Arc<Self>, first: u64) -> Result<u64, DbError> {
        let known = self.known_ids(u64::MAX).await?;
        let start = known.partition_point(|(id, _)| *id < first);
        let part = &known[start..known.len().min(start + LEAF)];
        let last = known.get(start + LEAF).map(|(id, _)| id - 1);
        self.read_range(first, last, part).await?;
        Ok(last.map_or(0, |last| last + 1))
    }
}
