// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The archive: the last version of each manifest as a file, in its API form, as 4.13.1 writes it.
//!
//! A copy is written beside the archive before the record is, and goes to its place after. What a crash leaves of it says
//! that the record may have changed, and of which image. Its name beside the archive is durable before anybody hears of
//! the change, so its name in the archive need not be.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use bytes::Bytes;
use manta::{NewObject, Path};
use md5::{Digest, Md5};

use super::manta::{Occupant, is_lost_race, parse};
use super::temporary::{Content, Leftover, Renamed, Temporary, Version};
use super::{LocalStorage, MantaStorage, StorageError, blocking};
use crate::files;
use crate::manifest::Uuid;

/// The permission that the archive's file of an image has which was deleted: nobody executes a manifest, so it says
/// nothing else. It tells [`super::Spooled`] that this is the last version and no other one follows.
pub(super) const LAST: u32 = 0o100;

/// A manifest that is written beside the archive, but not in it yet. Dropping it removes it, unless its record was being
/// written: then it stays for the next sweep.
#[derive(Debug)]
pub struct Archived {
    temporary: Temporary,
    place: PathBuf,
    is_written: bool,
}

impl LocalStorage {
    /// Writes `manifest` for the archive; [`Archived::sync`] makes it durable. The caller stores the record next, and then
    /// [`Archived::commit`]s: so a full disk is found before anything changes, and the archive never describes a state
    /// that was not stored.
    pub async fn prepare_archive(
        &self,
        uuid: Uuid,
        version: Version,
        manifest: Bytes,
    ) -> Result<Archived, StorageError> {
        let incoming = self.incoming();
        let place = self.archive_path(uuid);
        let written = blocking(move || {
            let mut temporary = Temporary::create_copy(&incoming, uuid, version)?;
            temporary.file.write_all(&manifest)?;
            if version == Version::Last {
                let mode = temporary.file.metadata()?.mode();
                temporary.file.set_permissions(Permissions::from_mode(mode | LAST))?;
            }
            Ok(Archived { temporary, place, is_written: false })
        });
        Ok(written.await?)
    }

    /// Puts a manifest into the archive that was left beside it.
    pub async fn archive_leftover(&self, leftover: Leftover) -> Result<(), StorageError> {
        let Content::Manifest { uuid, .. } = leftover.content else { return self.discard(leftover).await };
        let (temporary, place) = (leftover.into_temporary(), self.archive_path(uuid));
        Archived { temporary, place, is_written: true }.commit().await
    }
}

impl Archived {
    /// Makes the copy durable where it is, beside the archive.
    pub async fn sync(&self) -> Result<(), StorageError> {
        let file = self.temporary.file.try_clone()?;
        let directory = self.temporary.directory();
        Ok(blocking(move || {
            file.sync_all()?;
            directory.map_or(Ok(()), |directory| files::sync_directory(&directory))
        })
        .await?)
    }

    /// The record is about to be written: from here on the copy tells the next sweep to look, if nobody says before what
    /// became of it.
    pub fn record_is_written(&mut self) {
        self.is_written = true;
    }

    /// The record was not written.
    pub fn discard(mut self) {
        self.is_written = false;
    }

    /// Puts the manifest into the archive, in the place of an earlier version. After a failure the next sweep does it, and
    /// after a loss of power that makes the rename undone.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        Ok(blocking(move || self.temporary.move_to(&self.place, Renamed::InTime)).await?)
    }
}

impl Drop for Archived {
    fn drop(&mut self) {
        if self.is_written {
            self.temporary.leave();
        }
    }
}

impl MantaStorage {
    fn archive_path(&self, uuid: Uuid) -> Result<Path, StorageError> {
        let uuid = uuid.to_string();
        parse(&format!("{}/archive/{}/{uuid}.json", self.root_dir(), &uuid[..3]))
    }

    /// What the archive in Manta has of an image.
    pub async fn archived(&self, uuid: Uuid) -> Result<Occupant, StorageError> {
        self.at(&self.archive_path(uuid)?).await
    }

    /// Puts a manifest into the archive in Manta, in the place of `occupant`; false if something else is there by now.
    pub async fn archive(
        &self,
        uuid: Uuid,
        manifest: Bytes,
        occupant: Occupant,
    ) -> Result<bool, StorageError> {
        let new = NewObject {
            content_type: Some("application/json".to_owned()),
            precondition: occupant.precondition,
            make_directories: true,
            ..NewObject::default()
        };
        match self.client().await?.put_bytes(&self.archive_path(uuid)?, manifest, &new).await {
            Err(error) if is_lost_race(&error) => Ok(false),
            result => Ok(result.map(|_| true)?),
        }
    }
}

impl Occupant {
    /// Whether it is these bytes, by their MD5.
    pub fn has_bytes(&self, bytes: &[u8]) -> bool {
        self.md5 == Some(Md5::digest(bytes).into())
    }
}
