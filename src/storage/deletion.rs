// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that a record names now, and that are deleted when it no longer names them.

use std::time::Duration;

use ::manta::Path;
use futures_util::future::join_all;

use super::{Asset, Location, Storage, StorageError};
use crate::manifest::{Stor, Uuid};

/// Files to delete after the next write of a record, which no longer names them.
///
/// They are looked up before that write, while nothing else can have their names. In Manta each object is identified by its
/// etag, which no other object ever has. So a file that gets one of the names after the write, from another process, too, is
/// not deleted by mistake.
#[derive(Debug)]
#[must_use = "files that no record names stay for ever"]
pub struct PendingDeletion {
    uuid: Uuid,
    local: Vec<(Asset, String)>,
    objects: Vec<Object>,
    /// Why some of them could not be looked up.
    failed: Option<StorageError>,
}

/// An object to delete.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) path: Path,
    /// The etag of the object; `None` if no other object can have this path.
    pub(super) etag: Option<String>,
}

impl PendingDeletion {
    /// Returns whether some of the files are in Manta, or may be.
    pub fn is_in_manta(&self) -> bool {
        !self.objects.is_empty() || self.failed.is_some()
    }
}

impl Storage {
    /// Looks up stored files of an image, so that they can be deleted after the next write of its record. A file whose look-up
    /// fails stays, and [`Storage::delete`] returns the error.
    pub async fn prepare_deletion(&self, uuid: Uuid, files: &[Location]) -> PendingDeletion {
        let mut pending = PendingDeletion { uuid, local: Vec::new(), objects: Vec::new(), failed: None };
        let (local, manta): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.stor == Stor::Local);
        pending.local.extend(local.into_iter().map(|file| (file.asset, file.sha1.clone())));
        for found in join_all(manta.into_iter().map(|file| self.objects_of(file))).await {
            match found {
                Ok(objects) => pending.objects.extend(objects),
                Err(error) => pending.failed = Some(error),
            }
        }
        pending
    }

    /// Looks up what an interrupted move has left of a file at a location that its record does not name. In Manta only an
    /// object counts that is older than `age`: a younger one may belong to an upload. The caller fences the record before it
    /// deletes the rest.
    pub async fn prepare_deletion_of_rest(
        &self,
        file: &Location,
        age: Duration,
    ) -> Result<Option<PendingDeletion>, StorageError> {
        let (mut local, mut objects) = (Vec::new(), Vec::new());
        match file.stor {
            Stor::Local if self.local.has_final_file(file.uuid, file.asset).await? => {
                local.push((file.asset, file.sha1.clone()));
            }
            Stor::Local => {}
            Stor::Manta => objects.extend(self.manta()?.old_object(file, age).await?),
        }
        let is_nothing = local.is_empty() && objects.is_empty();
        Ok((!is_nothing).then_some(PendingDeletion { uuid: file.uuid, local, objects, failed: None }))
    }

    async fn objects_of(&self, file: &Location) -> Result<Vec<Object>, StorageError> {
        self.manta()?.objects_of(file).await
    }

    /// Deletes files that no record names any more. Missing files are no error. The caller holds the image's lock.
    ///
    /// # Errors
    /// The first error; the other files are deleted all the same.
    pub async fn delete(&self, pending: PendingDeletion) -> Result<(), StorageError> {
        let PendingDeletion { uuid, local, objects, failed } = pending;
        let mut deleted = failed.map_or(Ok(()), Err);
        if !local.is_empty() {
            deleted = deleted.and(self.local.delete(uuid, local).await);
        }
        for result in join_all(objects.iter().map(|object| self.delete_object(object))).await {
            deleted = deleted.and(result);
        }
        deleted
    }

    async fn delete_object(&self, Object { path, etag }: &Object) -> Result<(), StorageError> {
        self.manta()?.delete_object(path, etag.as_deref()).await
    }

    /// Deletes the directory of an image in Manta, if it is empty. The image must be deleted: an upload to it would fail.
    pub async fn delete_directory(&self, uuid: Uuid) -> Result<(), StorageError> {
        self.manta()?.delete_directory(uuid).await
    }
}
