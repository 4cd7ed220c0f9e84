// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::sync::Arc;

use moray::Object;
use serde_json::Value;

use super::rows::{Key, Ticket, Version, VersionAction, WriteAction};
use super::{Replica, ReplicaInner};
use crate::db::index::Change;
use crate::db::moray::bucket::BUCKET;
use crate::db::moray::failed;
use crate::db::{DbError, blocking};
use crate::manifest::{Image, Record, Rules, Uuid, View, view};

/// A row, decoded if that is possible.
pub(super) struct Decoded {
    pub(super) key: Key,
    pub(super) version: Version,
    /// The stored record and its view, or why the record cannot be used.
    pub(super) image: Result<(Arc<str>, Arc<View>), String>,
}

impl Decoded {
    pub(super) fn new(row: &Object, rules: Rules) -> Decoded {
        let key = Key::of(&row.key);
        let view = decode(row, &key, rules);
        if let Err(reason) = &view {
            tracing::warn!(uuid = row.key, reason, "a stored image cannot be used");
        }
        let image = view.map(|view| (row.value.get().into(), Arc::new(view)));
        Decoded { key, version: version_of(row), image }
    }
}

fn decode(row: &Object, key: &Key, rules: Rules) -> Result<View, String> {
    let record: Record = row.value_as().map_err(|error| format!("no JSON object: {error}"))?;
    let view = view::load(record, rules)?;
    if *key == Key::Image(view.uuid()) {
        Ok(view)
    } else {
        Err(format!("it is the record of {}", view.uuid()))
    }
}

pub(super) fn version_of(row: &Object) -> Version {
    Version { id: row.id, mtime: row.mtime, etag: row.etag.as_str().into() }
}

impl ReplicaInner {
    /// Applies the new rows of a query's result. Returns whether there were any.
    pub(super) async fn take(self: &Arc<Self>, sent: Ticket, rows: Vec<Object>) -> Result<bool, DbError> {
        // Usually every row is known already, and this is short.
        let new: Vec<Object> = {
            let mut known = self.rows();
            let is_new =
                |row: &Object| known.judge(sent, &Key::of(&row.key), &version_of(row)) == VersionAction::New;
            rows.into_iter().filter(is_new).collect()
        };
        if new.is_empty() {
            return Ok(false);
        }
        let shared = Arc::clone(self);
        blocking(move || {
            let decoded: Vec<_> = new.iter().map(|row| Decoded::new(row, shared.rules)).collect();
            shared.set(sent, decoded);
        })
        .await?;
        Ok(true)
    }

    fn set(&self, sent: Ticket, decoded: Vec<Decoded>) {
        let mut rows = self.rows();
        for Decoded { key, version, image } in decoded {
            // A write of this process may have been answered in the meantime.
            if rows.judge(sent, &key, &version) != VersionAction::New {
                continue;
            }
            let uuid = if let Key::Image(uuid) = &key { Some(*uuid) } else { None };
            let (change, content) = match image {
                Ok((record, view)) => (Some(Change::Put(view)), Ok(record)),
                Err(reason) => (uuid.map(Change::Remove), Err(reason)),
            };
            rows.set(key, version, content);
            self.index.apply(change);
        }
    }

    /// Removes the `known` rows that a query did not show although it covered all rows, or all in the range of the
    /// given `_id`s. Returns how many were removed.
    pub(super) async fn remove_missing(
        self: &Arc<Self>,
        sent: Ticket,
        known: Vec<(Option<u64>, Key)>,
        shown: HashSet<Key>,
    ) -> Result<usize, DbError> {
        let shared = Arc::clone(self);
        blocking(move || {
            let mut rows = shared.rows();
            let mut removed = 0;
            for (id, key) in known.iter().filter(|(_, key)| !shown.contains(key)) {
                if rows.missing(sent, key, *id) {
                    removed += 1;
                    if let Key::Image(uuid) = key {
                        shared.index.apply([Change::Remove(*uuid)]);
                    }
                }
            }
            removed
        })
        .await
    }

    /// Reads a row from Moray and applies it. Returns the time of its last write, or `None` if there is no such row.
    pub(super) async fn refresh(self: &Arc<Self>, key: &Key) -> Result<Option<i64>, DbError> {
        let sent = self.clock.ticket();
        let row = self.bucket.get(BUCKET, &key.to_string()).await.map_err(failed)?;
        let mtime = row.as_ref().map(|row| row.mtime);
        match row {
            Some(row) => drop(self.take(sent, vec![row]).await?),
            None => drop(self.remove_missing(sent, vec![(None, key.clone())], HashSet::new()).await?),
        }
        Ok(mtime)
    }
}

/// Reports whether Moray returns a record exactly as it was put. Moray's index columns convert numbers to strings, and
/// other processes read the converted values.
fn comes_back_as_put(image: &Image) -> bool {
    let record = image.record();
    let texts = ["name", "version", "urn"].iter().all(|name| record.get(*name).is_none_or(Value::is_string));
    // Elements of lists lose the white space around them, and empty elements are dropped.
    let is_kept = |text: &str| !text.is_empty() && text.trim() == text;
    let lists = ["tags", "billing_tags"].iter().filter_map(|name| record.get(*name)?.as_array());
    texts && lists.flatten().all(|element| element.as_str().is_some_and(is_kept))
}

impl Replica {
    /// Returns a ticket, which must be taken before a write is sent.
    pub(in crate::db::moray) fn ticket(&self) -> Ticket {
        self.shared.clock.ticket()
    }

    /// Applies a put of this process that Moray has answered with `etag`. From then on no read returns an older
    /// version. `replaced` is the version that was replaced.
    pub(in crate::db::moray) async fn wrote(
        &self,
        sent: Ticket,
        image: &Image,
        replaced: Option<&str>,
        etag: String,
    ) {
        let (shared, image, replaced) =
            (Arc::clone(&self.shared), image.clone(), replaced.map(str::to_owned));
        let uuid = image.uuid();
        let written = blocking(move || {
            if !comes_back_as_put(&image) {
                return WriteAction::Unclear;
            }
            // A valid image cannot fail here. If it does, reading the row gives a better error.
            let (Ok(view), Ok(record)) = (View::new(&image), serde_json::to_string(image.record())) else {
                return WriteAction::Unclear;
            };
            let mut rows = shared.rows();
            let key = Key::Image(uuid);
            let written = rows.wrote(sent, &key, replaced.as_deref(), &etag, record.into());
            if written == WriteAction::Newest {
                shared.index.apply([Change::Put(Arc::new(view))]);
            }
            written
        });
        if !written.await.is_ok_and(|written| written != WriteAction::Unclear) {
            self.read_back(uuid).await;
        }
    }

    /// Applies a delete of the version `deleted`, likewise.
    pub(in crate::db::moray) async fn deleted(&self, sent: Ticket, uuid: Uuid, deleted: &str) {
        let (shared, deleted) = (Arc::clone(&self.shared), deleted.to_owned());
        let written = blocking(move || {
            let mut rows = shared.rows();
            let written = rows.deleted(sent, &Key::Image(uuid), &deleted);
            if written == WriteAction::Newest {
                shared.index.apply([Change::Remove(uuid)]);
            }
            written
        });
        if !written.await.is_ok_and(|written| written != WriteAction::Unclear) {
            self.read_back(uuid).await;
        }
    }

    /// Reads a record again, because another process may have written it at the same time, or because the answer to a
    /// write was lost. If Moray does not answer now, the next round reads it.
    pub(in crate::db::moray) async fn read_back(&self, uuid: Uuid) {
        let read = self.unless_long_away(self.shared.refresh(&Key::Image(uuid))).await;
        if let Some(Err(error)) = read {
            tracing::debug!(%uuid, %error, "the result of a write was not read back");
        }
    }
}
