// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The archive keeps the last version of each manifest as a file, in its API form, as 4.13.1 writes it.
//!
//! A copy is written to `incoming` before the record is written, and moved into the archive after it. After a crash the copy
//! says that the record may have changed, and of which image. The copy in `incoming` is durable before any client hears of the
//! change, so the later rename need not be.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use manta::{NewObject, Path};
use md5::{Digest, Md5};

use super::manta::{Occupant, is_lost_race, parse};
use super::temporary::{Content, Leftover, RenameDurability, Temporary, Version};
use super::{LocalStorage, MantaStorage, StorageError, blocking, md5_bytes};
use crate::files;
use crate::manifest::Uuid;

/// The permission bit of a deleted image's file in the archive. Nobody executes a manifest, so the bit is free to use. It tells
/// [`super::Spooled`] that this is the last version and that no other one follows.
pub(super) const LAST: u32 = 0o100;

/// A manifest that has been written, but not moved into the archive yet. Dropping it removes it, unless its record was being
/// written: then it stays for the next sweep.
#[derive(Debug)]
pub struct ArchiveCopy {
    temporary: Temporary,
    place: PathBuf,
    is_kept_on_drop: bool,
}

impl LocalStorage {
    /// Writes a copy of `manifest` to `incoming`; [`ArchiveCopy::sync`] makes it durable. The caller writes the record next, and
    /// then calls [`ArchiveCopy::commit`]. So a full disk is noticed before anything changes, and the archive never describes a
    /// record that was not stored.
    pub async fn prepare_archive(
        &self,
        uuid: Uuid,
        version: Version,
        manifest: Bytes,
    ) -> Result<ArchiveCopy, StorageError> {
        let incoming = self.incoming();
        let place = self.archive_path(uuid);
        let written = blocking(move || {
            let mut temporary = Temporary::create_copy(&incoming, uuid, version)?;
            temporary.file.write_all(&manifest)?;
            if version == Version::Last {
                let mode = temporary.file.metadata()?.mode();
                temporary.file.set_permissions(Permissions::from_mode(mode | LAST))?;
            }
            Ok(ArchiveCopy { temporary, place, is_kept_on_drop: false })
        });
        Ok(written.await?)
    }

    /// Moves a leftover manifest from `incoming` into the archive, or removes it if the archive has a version that was written
    /// later. The caller makes sure that the image does not change meanwhile.
    pub async fn archive_leftover(&self, leftover: Leftover) -> Result<(), StorageError> {
        let Content::Manifest { uuid, .. } = leftover.content else { return self.discard(leftover).await };
        let (temporary, place) = (leftover.into_temporary(), self.archive_path(uuid));
        let leftover = ArchiveCopy { temporary, place, is_kept_on_drop: true };
        let settled = blocking(move || {
            if is_superseded(&leftover.temporary.file, &leftover.place)? {
                leftover.discard();
                return Ok(None);
            }
            Ok(Some(leftover))
        });
        match settled.await? {
            Some(leftover) => leftover.commit().await,
            None => Ok(()),
        }
    }
}

impl ArchiveCopy {
    /// Makes the copy durable in `incoming`.
    pub async fn sync(&self) -> Result<(), StorageError> {
        let file = self.temporary.file.try_clone()?;
        let directory = self.temporary.directory();
        Ok(blocking(move || {
            file.sync_all()?;
            directory.map_or(Ok(()), |directory| files::sync_directory(&directory))
        })
        .await?)
    }

    /// Tells the copy that the record is about to be written. From here on it stays if it is dropped, and the next sweep finds
    /// out whether the record was written.
    pub fn keep_on_drop(&mut self) {
        self.is_kept_on_drop = true;
    }

    /// Removes the copy, because the record was not written.
    pub fn discard(mut self) {
        self.is_kept_on_drop = false;
    }

    /// Moves the manifest into the archive, and replaces an earlier version. If this fails, or a loss of power undoes it, the
    /// next sweep repeats it.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        Ok(blocking(move || self.temporary.move_to(&self.place, RenameDurability::Eventual)).await?)
    }
}

impl Drop for ArchiveCopy {
    fn drop(&mut self) {
        if self.is_kept_on_drop {
            self.temporary.leave();
        }
    }
}

impl MantaStorage {
    fn archive_path(&self, uuid: Uuid) -> Result<Path, StorageError> {
        let uuid = uuid.to_string();
        parse(&format!("{}/archive/{}/{uuid}.json", self.root_dir(), &uuid[..3]))
    }

    /// What is at the name of an image's manifest in Manta.
    pub async fn archive_occupant(&self, uuid: Uuid) -> Result<Occupant, StorageError> {
        self.at(&self.archive_path(uuid)?).await
    }

    /// Writes a manifest to the archive in Manta, and replaces `occupant`. Returns false if another object is there now.
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
    /// Returns whether the object has the bytes with this [`manifest_md5`].
    pub fn has_md5(&self, md5: &str) -> bool {
        self.md5.is_some() && self.md5 == md5_bytes(md5)
    }
}

/// The MD5 of a manifest in base64, which identifies a version of it.
pub fn manifest_md5(manifest: &[u8]) -> String {
    STANDARD.encode(Md5::digest(manifest))
}

/// Returns whether the archive got its version of a manifest after this leftover was written. Both files are of this machine, and
/// of one image, whose changes wait for each other.
fn is_superseded(leftover: &File, place: &std::path::Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        archived => Ok(archived?.modified()? > leftover.metadata()?.modified()?),
    }
}
