// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::apply::{Decoded, version_of};
use super::rows::{Key, Rows};
use super::{KnownRecord, ReplicaInner};
use crate::db::index::Prepared;
use crate::db::moray::failed;
use crate::db::{DbError, blocking};

/// The number of rows that one query asks for.
const PAGE: u64 = 500;
/// How many such queries run at a time.
const AT_A_TIME: usize = 4;
/// The most ranges that the rows are divided into.
const RANGES: u64 = 64;

type Loaded = Vec<Decoded>;

/// The times of the last writes up to which everything is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    /// The last write of an image.
    pub(super) written: i64,
    /// The last note of a deletion.
    pub(super) deleted: i64,
}

/// Divides the `_id`s into at most [`RANGES`] ranges, each of at most a page of rows if that suffices. The last one is
/// open-ended.
fn ranges(top: u64) -> Vec<(u64, Option<u64>)> {
    let width = PAGE.max(top / RANGES + 1);
    let starts = (0..=top / width).map(|number| number * width);
    starts.map(|first| (first, (first + width <= top).then(|| first + width - 1))).collect()
}

impl ReplicaInner {
    /// Loads all rows. Known rows that have not changed are not decoded again.
    ///
    /// The next round finds what changes in the meantime: it has to ask for everything since the returned times.
    pub(super) async fn load(self: &Arc<Self>) -> Result<Horizon, DbError> {
        self.bucket.ensure().await.map_err(failed)?;
        self.state.send_modify(|state| state.is_away = false);
        tracing::info!("Bucket has been loaded");
        let (written, deleted, top) =
            tokio::try_join!(self.bucket.last_write(), self.bucket.last_deletion(), self.bucket.last_id())
                .map_err(failed)?;
        let ranges = ranges(top.unwrap_or(0)).into_iter().map(|(first, last)| self.load_range(first, last));
        let loaded: Vec<Loaded> = stream::iter(ranges).buffered(AT_A_TIME).try_collect().await?;
        let loaded = loaded.into_iter().flatten().collect();
        let shared = Arc::clone(self);
        blocking(move || shared.install(loaded)).await?;
        self.metrics.replica_rebuilt();
        tracing::info!(images = self.index.len(), "all images are in memory");
        Ok(Horizon { written: written.unwrap_or(0), deleted: deleted.unwrap_or(0) })
    }

    async fn load_range(self: &Arc<Self>, mut first: u64, last: Option<u64>) -> Result<Loaded, DbError> {
        let mut loaded = Loaded::new();
        loop {
            let page = self.bucket.page(first, last, PAGE).await.map_err(failed)?;
            let Some(end) = page.rows.last() else { break };
            first = end.id + 1;
            let (shared, rows) = (Arc::clone(self), page.rows);
            let decoded =
                blocking(move || rows.iter().map(|row| shared.known_or_decoded(row)).collect::<Loaded>());
            loaded.extend(decoded.await?);
            if page.is_last || last.is_some_and(|last| first > last) {
                break;
            }
        }
        Ok(loaded)
    }

    fn known_or_decoded(&self, row: &moray::Object) -> Decoded {
        let key = Key::of(&row.key);
        match self.known(&key).filter(|known| *known.etag == *row.etag) {
            Some(KnownRecord { record, view, .. }) => {
                Decoded { key, version: version_of(row), image: Ok((record, view)) }
            }
            None => Decoded::new(row, self.rules),
        }
    }

    fn install(&self, loaded: Loaded) {
        let mut views = Vec::with_capacity(loaded.len());
        let versions = loaded.into_iter().map(|Decoded { key, version, image }| {
            let content = image.map(|(record, view)| {
                views.push(view);
                record
            });
            (key, version, content)
        });
        let mut rows = Rows::loaded(Arc::clone(&self.clock), versions);
        // A row that was deleted and created again during the load may occur twice.
        views.sort_by_key(|view| view.uuid());
        views.dedup_by_key(|view| view.uuid());
        let mut images = Prepared::new(views);
        {
            let mut current = self.rows();
            std::mem::swap(&mut *current, &mut rows);
            self.index.swap(&mut images);
        }
        // The earlier content is dropped here, without the lock, because that takes a while.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_every_id_once() {
        for top in [0, 1, 498, 499, 500, 501, 1000, 31_999, 32_000, 32_001, 10_000_000] {
            let ranges = ranges(top);
            assert_eq!((ranges[0].0, ranges.last().unwrap().1), (0, None));
            assert!(ranges.len() as u64 <= RANGES && ranges.last().unwrap().0 <= top, "{top}");
            assert!(ranges.windows(2).all(|pair| pair[0].1 == Some(pair[1].0 - 1)), "{top}: {ranges:?}");
        }
    }
}
