// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Searches for stored files without an image.

use super::{Check, Orphan};
use crate::images::{ApiResult, Problem};
use crate::manifest::{Stor, Uuid};
use crate::storage::Item;
use crate::telemetry::err;

impl Check<'_> {
    /// The files without an image that are old enough, in all storages.
    pub(super) async fn orphans(&self) -> ApiResult<Vec<Orphan>> {
        let mut orphans = Vec::new();
        for stor in self.storage.kinds() {
            for group in self.storage.groups(stor).await? {
                for item in self.storage.group(stor, &group).await?.items {
                    if item.is_older_than(self.options.orphan_age) {
                        orphans.extend(self.judged(stor, item).await?);
                    }
                }
            }
        }
        Ok(orphans)
    }

    async fn judged(&self, stor: Stor, item: Item) -> ApiResult<Option<Orphan>> {
        let orphan = |item: Item, problem, moved| Orphan {
            uuid: item.uuid,
            file: item.name,
            storage: stor,
            problem,
            moved,
            is_file: item.is_file,
        };
        let Some(uuid) = item.uuid else { return Ok(Some(orphan(item, Problem::Foreign, None))) };
        if self.known.image(uuid).is_some_and(|image| image.has(stor, &item.name)) {
            return Ok(None);
        }
        // The file is identified before the last look at the record. A file that gets the same name later is another one.
        let seen = match stor {
            Stor::Local => self.storage.local.identity(&item).await?,
            Stor::Manta => None,
        };
        if self.is_named(uuid, stor, &item.name).await? || !self.storage.has(stor, &item).await? {
            return Ok(None);
        }
        let moved = match seen.filter(|_| self.options.fix) {
            Some(seen) => self.storage.local.set_aside(&item, seen).await.unwrap_or_else(|error| {
                tracing::warn!(file = item.name, err.json = %err(&error), "a file that no image has cannot be moved");
                None
            }),
            None => None,
        };
        Ok(Some(orphan(item, Problem::Orphan, moved)))
    }

    /// Returns whether a record names the file now. An unusable record may name it.
    async fn is_named(&self, uuid: Uuid, stor: Stor, name: &str) -> ApiResult<bool> {
        let Some(record) = self.records.get(uuid).await? else { return Ok(false) };
        Ok(self.known.entry(record).map_or(true, |image| image.has(stor, name)))
    }
}
