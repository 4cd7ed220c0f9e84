// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manifests in files: `manifests/<uuid>.raw` below the base directory, as in 4.13.1.

mod directory;
mod open;
mod restore;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::index::{Change, Index};
use super::{Damaged, DbError, Deletion, Found, ListAnswer, Status, Stored, blocking, rendered};
use crate::files::DirectoryLock;
use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, Image, Record, Rules, Uuid, View, json};
use crate::telemetry::Metrics;

pub(in crate::db) use directory::{Content, Directory};
pub use open::OpenError;

/// Manifests in a directory that only this process uses.
#[derive(Debug)]
pub struct LocalDatabase {
    shared: Arc<LocalDatabaseInner>,
    metrics: Arc<Metrics>,
    // Held for as long as the database is used.
    _lock: DirectoryLock,
}

#[derive(Debug)]
struct LocalDatabaseInner {
    directory: Directory,
    rules: Rules,
    index: Index,
    /// Damaged records by file name.
    damaged: Mutex<BTreeMap<String, Damaged>>,
}

impl LocalDatabase {
    /// The record of `uuid`, from its file.
    pub(super) async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        self.run("get", move |shared| shared.read(uuid)).await
    }

    /// Reads the file as well: that is fast enough.
    pub(super) async fn known(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        self.get(uuid).await
    }

    pub(super) async fn view(&self, uuid: Uuid) -> Result<Found<Option<Arc<View>>>, DbError> {
        Ok(Found::current(self.shared.index.get(uuid)))
    }

    pub(super) async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<Found<ListAnswer>, DbError> {
        if let Some(answer) = self.shared.index.answered(query, form) {
            return Ok(Found::current(answer));
        }
        let (shared, query) = (Arc::clone(&self.shared), query.clone());
        let listed = rendered(query.limit, move || Ok(shared.index.list(&query, form, None)?));
        self.observed("find", listed).await.map(Found::current)
    }

    pub(super) async fn insert(&self, image: &Image) -> Result<(), DbError> {
        let image = image.clone();
        self.run("put", move |shared| shared.insert(&image)).await
    }

    pub(super) async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        let (image, etag) = (image.clone(), etag.to_owned());
        self.run("put", move |shared| shared.replace(&image, &etag)).await
    }

    pub(super) async fn put_with_origins(
        &self,
        image: &Image,
        replaced: Option<&str>,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        let (image, replaced, origins) = (image.clone(), replaced.map(str::to_owned), origins.to_vec());
        self.run("put", move |shared| {
            let uuids = origins.iter().map(|origin| origin.image.uuid());
            let _guards = shared.directory.lock_all(uuids.chain([image.uuid()]));
            shared.check_all(&origins)?;
            match replaced {
                None => shared.write_new(&image),
                Some(etag) => shared.check(image.uuid(), &etag).and_then(|()| shared.write(&image)),
            }
        })
        .await
    }

    pub(super) async fn delete(&self, old: &Deletion<'_>) -> Result<(), DbError> {
        let (uuid, etag) = (old.uuid, old.etag.to_owned());
        self.run("delete", move |shared| shared.delete(uuid, &etag)).await
    }

    /// Writes the new file first: after a crash there are two records, and none is lost. If the old file cannot be
    /// removed, the outcome is reported as unknown, because the new record exists already.
    pub(super) async fn rename(
        &self,
        image: &Image,
        old: &Deletion<'_>,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        let (old, etag) = (old.uuid, old.etag.to_owned());
        let (image, origins) = (image.clone(), origins.to_vec());
        self.run("rename", move |shared| {
            let uuids = origins.iter().map(|origin| origin.image.uuid());
            let _guards = shared.directory.lock_all(uuids.chain([image.uuid(), old]));
            shared.check_unneeded(old, &etag)?;
            shared.check_all(&origins)?;
            shared.write_new(&image)?;
            shared.remove(old).map_err(|error| match error {
                unknown @ DbError::OutcomeUnknown(_) => unknown,
                error => DbError::OutcomeUnknown(error.into()),
            })
        })
        .await
    }

    pub(super) async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        self.run("find", move |shared| Ok(shared.index.dependents(uuid))).await
    }

    /// The index is always current, because no other process writes here.
    pub(super) async fn known_dependents(&self, stored: &Stored) -> Result<Option<Vec<Uuid>>, DbError> {
        self.dependents(stored.image.uuid()).await.map(Some)
    }

    pub(super) async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.index.filtered(wanted)).await
    }

    /// Checks that the directory can be read.
    pub(super) async fn probe(&self) -> Result<(), DbError> {
        self.run("probe", |shared| shared.directory.probe()).await
    }

    pub(super) fn status(&self) -> Status {
        Status {
            images: Some(self.shared.index.len()),
            age: Some(Duration::ZERO),
            damaged: self.shared.damaged().values().cloned().collect(),
        }
    }

    /// Runs `work` on a blocking thread, and records it in the metrics.
    async fn run<T: Send + 'static>(
        &self,
        op: &str,
        work: impl FnOnce(&LocalDatabaseInner) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let shared = Arc::clone(&self.shared);
        self.observed(op, blocking(move || work(&shared))).await
    }

    /// Records an operation and its duration in the metrics.
    async fn observed<T>(
        &self,
        op: &str,
        work: impl Future<Output = Result<Result<T, DbError>, DbError>>,
    ) -> Result<T, DbError> {
        let started = Instant::now();
        let result = work.await?;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(DbError::Conflict) => "conflict",
            Err(DbError::NoSuchMarker(_)) => "not_found",
            Err(_) => "error",
        };
        self.metrics.observe_backend("manifests", op, outcome, started.elapsed());
        result
    }
}

impl LocalDatabaseInner {
    fn read(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        let invalid = |reason: String| {
            tracing::warn!(%uuid, reason, "a stored image cannot be used");
            Ok(None)
        };
        let bytes = match self.directory.read(uuid)? {
            Some(Content::Bytes(bytes)) => bytes,
            Some(Content::NoRecord(reason)) => return invalid(reason),
            None => return Ok(None),
        };
        let record: Record = match serde_json::from_slice(&bytes) {
            Ok(record) => record,
            Err(error) => return invalid(error.to_string()),
        };
        match Image::load(record, self.rules) {
            Ok(image) if image.uuid() == uuid => Ok(Some(Stored { image, etag: version_of(&bytes) })),
            Ok(image) => invalid(format!("it is the record of {}", image.uuid())),
            Err(problems) => {
                let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
                invalid(format!("not valid: {}", fields.join(", ")))
            }
        }
    }

    fn insert(&self, image: &Image) -> Result<(), DbError> {
        let _guard = self.directory.lock(image.uuid());
        self.write_new(image)
    }

    fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        let _guard = self.directory.lock(image.uuid());
        self.check(image.uuid(), etag)?;
        self.write(image)
    }

    fn delete(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        let _guard = self.directory.lock(uuid);
        self.check_unneeded(uuid, etag)?;
        self.remove(uuid)
    }

    /// Returns a `Conflict` unless the file is the version that `etag` names.
    fn check(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        match self.directory.read(uuid)? {
            Some(Content::Bytes(bytes)) if version_of(&bytes) == etag => Ok(()),
            _ => Err(DbError::Conflict),
        }
    }

    /// Does the same for several records.
    fn check_all(&self, known: &[Stored]) -> Result<(), DbError> {
        known.iter().try_for_each(|stored| self.check(stored.image.uuid(), &stored.etag))
    }

    /// Does the same as [`LocalDatabaseInner::check`] for a record that is about to be removed: in addition, no image
    /// may have it as its origin.
    fn check_unneeded(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        self.check(uuid, etag)?;
        if self.index.dependents(uuid).is_empty() { Ok(()) } else { Err(DbError::Conflict) }
    }

    /// Writes a record for a new UUID. A damaged file at its name is kept under another name, and is listed as damaged
    /// until then.
    fn write_new(&self, image: &Image) -> Result<(), DbError> {
        let name = Directory::file_name(image.uuid());
        if self.directory.read(image.uuid())?.is_none() {
            return self.write(image);
        }
        if !self.damaged().contains_key(&name) {
            return Err(DbError::Conflict);
        }
        let kept = self.directory.keep_aside(image.uuid())?;
        tracing::warn!(file = name, kept, "a new image takes the place of a damaged record");
        let written = self.write(image);
        if matches!(written, Ok(()) | Err(DbError::OutcomeUnknown(_))) {
            self.damaged().remove(&name);
        }
        written
    }

    fn write(&self, image: &Image) -> Result<(), DbError> {
        let failed = |error: serde_json::Error| DbError::Failed(error.into());
        let text = json::pretty(&json::JsObject(image.record())).map_err(failed)?;
        let view = View::new(image).map_err(failed)?;
        let written = self.directory.write(image.uuid(), text.as_bytes());
        if matches!(written, Ok(()) | Err(DbError::OutcomeUnknown(_))) {
            self.index.apply([Change::Put(Arc::new(view))]);
        }
        written
    }

    fn remove(&self, uuid: Uuid) -> Result<(), DbError> {
        let removed = self.directory.remove(uuid);
        if matches!(removed, Ok(()) | Err(DbError::OutcomeUnknown(_))) {
            self.index.apply([Change::Remove(uuid)]);
        }
        removed
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<String, Damaged>> {
        // Every change of the map is a single step, so a panic cannot leave it inconsistent.
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the version of a file: the SHA-1 of its bytes.
fn version_of(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}
