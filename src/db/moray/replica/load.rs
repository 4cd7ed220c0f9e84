use std::sync::Arc;

use super::Shared;
use super::apply::{Decoded, version_of};
use super::rows::{Key, Rows, Version};
use crate::db::index::Prepared;
use crate::db::moray::failed;
use crate::db::{DbError, blocking};
use crate::manifest::View;

/// Rows asked for at once.
const PAGE: u64 = 500;

type Loaded = Vec<(Key, Version, Result<Arc<View>, String>)>;

impl Shared {
    /// Loads all rows. What is known already and has not changed is not decoded again.
    ///
    /// What happens meanwhile is for the next round to find, which is to ask for everything written since the returned time.
    pub(super) async fn load(self: &Arc<Self>) -> Result<i64, DbError> {
        self.bucket.ensure().await.map_err(failed)?;
        self.state.send_modify(|state| state.is_away = false);
        tracing::info!("Bucket has been loaded");
        let last_write = self.bucket.last_write().await.map_err(failed)?.unwrap_or(0);
        let mut loaded: Loaded = Vec::new();
        let mut first = 0;
        loop {
            let page = self.bucket.page(first, None, PAGE).await.map_err(failed)?;
            let Some(last) = page.rows.last() else { break };
            first = last.id + 1;
            let (shared, rows) = (Arc::clone(self), page.rows);
            loaded.extend(
                blocking(move || rows.iter().map(|row| shared.known_or_decoded(row)).collect::<Loaded>())
                    .await?,
            );
            if page.is_last {
                break;
            }
        }
        let shared = Arc::clone(self);
        blocking(move || shared.install(loaded)).await?;
        self.metrics.replica_rebuilt();
        tracing::info!(images = self.index.len(), "all images are in memory");
        Ok(last_write)
    }

    fn known_or_decoded(&self, row: &moray::Object) -> (Key, Version, Result<Arc<View>, String>) {
        let key = Key::of(&row.key);
        let known = match &key {
            Key::Image(uuid) if self.rows().has_version(&key, &row.etag) => self.index.get(*uuid),
            _ => None,
        };
        match known {
            Some(view) => (key, version_of(row), Ok(view)),
            None => {
                let Decoded { key, version, view } = Decoded::new(row, self.rules);
                (key, version, view)
            }
        }
    }

    fn install(&self, loaded: Loaded) {
        let mut views = Vec::with_capacity(loaded.len());
        let versions = loaded.into_iter().map(|(key, version, view)| match view {
            Ok(view) => {
                views.push(view);
                (key, version, None)
            }
            Err(reason) => (key, version, Some(reason)),
        });
        let mut rows = Rows::loaded(Arc::clone(&self.clock), versions);
        // A row that was deleted and made anew while it was looked for may have come twice.
        views.sort_by_key(|view| view.uuid());
        views.dedup_by_key(|view| view.uuid());
        let mut images = Prepared::new(views);
        {
            let mut current = self.rows();
            std::mem::swap(&mut *current, &mut rows);
            self.index.swap(&mut images);
        }
        // What was there before takes a while to drop.
    }
}
