// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stores files on local disk.
//!
//! | Path below the base directory | Contents |
//! | --- | --- |
//! | `images/<first 3 characters of the UUID>/<uuid>/file0`, `file1`, `icon` | an image's files, as in 4.13.1 |
//! | `incoming/…` | unfinished files, see `temporary.rs` |
//! | `archive/<first 3>/<uuid>.json` | the last version of each manifest; with Manta, only the ones that Manta lacks |
//!
//! Publishing a file takes three durable steps. A rename gives it a name in `incoming` that says image, file and SHA-1. Then
//! the manifest names the SHA-1 (not here). A second rename moves the file to its final place. A reader looks for the SHA-1 of
//! the manifest first in `incoming`, then in the final place. So a crash or a second upload between two steps never makes a
//! manifest name other bytes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::logged_entries::LoggedEntries;
use super::temporary::{IncomingFile, Leftover, Temporary, complete_name, remove_if_there};
use super::{Asset, StorageError, blocking};
use crate::files;
use crate::manifest::Uuid;
use crate::platform::remove_if_empty;

/// Bytes that must be free for the storage to count as working.
const MIN_FREE: u64 = 64 << 10;

/// The local storage below one base directory.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    base: PathBuf,
    logged_entries: LoggedEntries,
}

/// Fails if almost no space is free. A privileged process may write to the last byte, and gets no error before.
fn check_free_space(free: u64) -> Result<u64, StorageError> {
    if free < MIN_FREE { Err(StorageError::NoSpace) } else { Ok(free) }
}

impl LocalStorage {
    /// The storage in `base`. Directories are created when they are needed.
    pub fn new(base: PathBuf) -> LocalStorage {
        LocalStorage { base, logged_entries: LoggedEntries::default() }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.base.join("incoming")
    }

    /// The directory of all images.
    pub(super) fn images(&self) -> PathBuf {
        self.base.join("images")
    }

    fn image_directory(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.images().join(&uuid[..3]).join(uuid)
    }

    /// The final path of a file of an image.
    pub(super) fn final_path(&self, uuid: Uuid, asset: Asset) -> PathBuf {
        self.image_directory(uuid).join(asset.to_string())
    }

    pub(super) fn archive(&self) -> PathBuf {
        self.base.join("archive")
    }

    pub(super) fn archive_path(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.archive().join(&uuid[..3]).join(format!("{uuid}.json"))
    }

    /// The path of a state file in the base directory, which belongs to no image.
    pub(super) fn state_path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Creates the directories that every start needs. A failure is no reason to stop: they are created again whenever they are
    /// needed.
    pub async fn prepare(&self) -> Result<(), StorageError> {
        let directories = [self.images(), self.archive(), self.incoming()];
        let base = self.base.clone();
        let create = move || directories.iter().try_for_each(|path| files::create_below(&base, path));
        Ok(blocking(create).await?)
    }

    /// Checks that files can be written, by creating and removing one. Returns how many bytes are free.
    ///
    /// # Errors
    /// `NoSpace` if there is too little space for a manifest.
    pub async fn probe(&self) -> Result<u64, StorageError> {
        let incoming = self.incoming();
        let probed = blocking(move || {
            let mut temporary = Temporary::create(&incoming)?;
            temporary.file.write_all(&[0; 4096])?;
            let space = rustix::fs::statvfs(&incoming)?;
            Ok(space.f_bavail.saturating_mul(space.f_frsize))
        });
        check_free_space(probed.await?)
    }

    /// Opens the file of `uuid` whose bytes have this SHA-1.
    pub async fn open(&self, uuid: Uuid, asset: impl Into<Asset>, sha1: &str) -> Result<File, StorageError> {
        let asset = asset.into();
        let complete = self.incoming().join(complete_name(uuid, asset, sha1));
        let place = self.final_path(uuid, asset);
        let opened = blocking(move || match files::open(&complete) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files::open(&place),
            other => other,
        });
        opened.await.map_err(|error| missing_or_failed(error, uuid, asset))
    }

    /// Deletes the files of `uuid` with these SHA-1s, and the image's directory if it is empty then.
    pub async fn delete(&self, uuid: Uuid, files: Vec<(Asset, String)>) -> Result<(), StorageError> {
        let incoming = self.incoming();
        let directory = self.image_directory(uuid);
        let deleted = blocking(move || {
            Ok(files
                .iter()
                .try_for_each(|(asset, sha1)| {
                    remove_if_there(&incoming.join(complete_name(uuid, *asset, sha1)))?;
                    remove_if_there(&directory.join(asset.to_string()))
                })
                .map_err(StorageError::from)
                .and_then(|()| remove_directory(&directory)))
        });
        deleted.await?
    }

    /// Returns whether something has the final path of a file.
    pub(super) async fn has_final_file(&self, uuid: Uuid, asset: Asset) -> Result<bool, StorageError> {
        let place = self.final_path(uuid, asset);
        Ok(blocking(move || place.try_exists()).await?)
    }

    /// Everything in `incoming`, in use or not. Entries whose names this server does not give belong to somebody else, and
    /// stay; each is logged once.
    pub async fn incoming_files(&self) -> Result<Vec<IncomingFile>, StorageError> {
        let (incoming, logged_entries) = (self.incoming(), self.logged_entries.clone());
        let found = blocking(move || {
            let entries = match fs::read_dir(incoming) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let (mut unfinished, mut names) = (Vec::new(), HashSet::new());
            for entry in entries {
                let entry = entry?;
                match IncomingFile::new(entry.path()) {
                    Some(known) => unfinished.push(known),
                    None => logged_entries
                        .log_once(&entry.file_name(), "it is nothing that this server has put there"),
                }
                names.insert(entry.file_name());
            }
            logged_entries.retain(&names);
            Ok(unfinished)
        });
        Ok(found.await?)
    }

    /// Returns whether `incoming` has a copy of the image's next version for the archive: then a write of its record may be
    /// under way.
    pub async fn has_copy_of(&self, uuid: Uuid) -> Result<bool, StorageError> {
        let is_copy = |unfinished: &IncomingFile| unfinished.content.is_copy_of(uuid);
        Ok(self.incoming_files().await?.iter().any(is_copy))
    }

    /// Locks an entry of `incoming` that nobody uses. `None` if it is in use or gone. Also if it cannot be opened, which is
    /// logged once.
    pub async fn claim(&self, unfinished: IncomingFile) -> Result<Option<Leftover>, StorageError> {
        let logged_entries = self.logged_entries.clone();
        let claimed = blocking(move || {
            let name = unfinished.name();
            Ok(Leftover::claim(unfinished).unwrap_or_else(|error| {
                logged_entries.log_once(&name, &error.to_string());
                None
            }))
        });
        Ok(claimed.await?)
    }

    /// Reads the bytes of a leftover.
    pub async fn read_leftover(&self, leftover: Leftover) -> Result<(Leftover, Vec<u8>), StorageError> {
        Ok(blocking(move || leftover.read().map(|bytes| (leftover, bytes))).await?)
    }

    /// Removes a leftover.
    pub async fn discard(&self, leftover: Leftover) -> Result<(), StorageError> {
        Ok(blocking(move || leftover.remove()).await?)
    }
}

pub(super) fn missing_or_failed(error: io::Error, uuid: Uuid, asset: Asset) -> StorageError {
    match error.kind() {
        io::ErrorKind::NotFound => StorageError::NotFound(format!("{uuid}/{asset}")),
        _ => error.into(),
    }
}

fn remove_directory(directory: &std::path::Path) -> Result<(), StorageError> {
    if remove_if_empty(directory)? {
        Ok(directory.parent().map_or(Ok(()), files::sync_directory)?)
    } else if directory.exists() {
        // The directory still has other files.
        Ok(files::sync_directory(directory)?)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_next_to_nothing_free_counts_as_full() {
        for free in [0, 1, 4096] {
            assert!(matches!(check_free_space(free), Err(StorageError::NoSpace)), "{free}");
        }
        assert_eq!(check_free_space(1 << 20).unwrap(), 1 << 20);
    }
}
