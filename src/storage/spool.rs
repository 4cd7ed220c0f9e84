// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The local archive as a queue for the archive in Manta: each file in it says that an image has changed.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::LAST;
use super::temporary::MAX_MANIFEST;
use super::temporary::remove_if_there;
use super::{LocalStorage, StorageError, blocking};
use crate::files;
use crate::manifest::Uuid;
use crate::platform::remove_if_empty;

/// Most files that are reported although they are no manifests.
const MAX_FOREIGN: usize = 100;

/// The contents of the local archive.
#[derive(Debug, Default)]
pub struct Spool {
    /// Images, each with the identity of its file.
    pub manifests: Vec<(Uuid, FileId)>,
    /// Files that are no manifests of images; only the first few.
    pub foreign: HashSet<PathBuf>,
}

/// Identifies a file, so that a replacement is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

/// A manifest in the local archive. The file stays open, so that no other file gets its identity.
#[derive(Debug)]
pub struct Spooled {
    file: File,
    path: PathBuf,
    id: FileId,
    is_last: bool,
    written: SystemTime,
}

impl LocalStorage {
    /// Lists the local archive, and removes empty directories.
    pub async fn spooled(&self) -> Result<Spool, StorageError> {
        let archive = self.archive();
        let looked = blocking(move || {
            let mut spool = Spool::default();
            for prefix in entries(&archive)? {
                let prefix = prefix?;
                let files = match entries(&prefix.path()) {
                    Ok(files) if prefix.file_type()?.is_dir() => files,
                    // For example a file system's `lost+found`, which only the system may read.
                    Err(error) if !is_unusable(&error) => return Err(error),
                    _ => {
                        spool.is_foreign(prefix.path());
                        continue;
                    }
                };
                let mut is_empty = true;
                for file in files {
                    is_empty = false;
                    spool.add(&prefix, &file?)?;
                }
                if is_empty && is_prefix(&prefix) {
                    remove_if_empty(&prefix.path())?;
                }
            }
            Ok(spool)
        });
        Ok(looked.await?)
    }

    /// Opens the manifest of an image; `None` if there is none.
    pub async fn open_spooled(&self, uuid: Uuid) -> Result<Option<Spooled>, StorageError> {
        let path = self.archive_path(uuid);
        let opened = blocking(move || {
            let file = match files::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let metadata = file.metadata()?;
            let (id, is_last) = (FileId::of(&metadata), metadata.mode() & LAST != 0);
            Ok(Some(Spooled { written: metadata.modified()?, file, path, id, is_last }))
        });
        Ok(opened.await?)
    }

    /// Removes a manifest, unless another file has replaced it. The caller makes sure that none does at the same time.
    pub async fn remove_spooled(&self, spooled: Spooled) -> Result<(), StorageError> {
        let removed = blocking(move || {
            let there = match fs::symlink_metadata(&spooled.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                there => there?,
            };
            if FileId::of(&there) != spooled.id {
                return Ok(());
            }
            remove_if_there(&spooled.path)?;
            spooled.path.parent().map_or(Ok(()), |directory| remove_if_empty(directory).map(drop))
        });
        Ok(removed.await?)
    }
}

impl Spool {
    fn add(&mut self, prefix: &DirEntry, file: &DirEntry) -> io::Result<()> {
        let metadata = match file.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata?,
        };
        match uuid_of(prefix, file).filter(|_| metadata.is_file()) {
            Some(uuid) => self.manifests.push((uuid, FileId::of(&metadata))),
            None => self.is_foreign(file.path()),
        }
        Ok(())
    }

    fn is_foreign(&mut self, path: PathBuf) {
        if self.foreign.len() < MAX_FOREIGN {
            self.foreign.insert(path);
        }
    }
}

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        FileId { device: metadata.dev(), inode: metadata.ino(), modified }
    }
}

impl Spooled {
    /// The identity of the file.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Returns whether the image was deleted, so that this is its last version.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// When the file was written.
    pub fn written(&self) -> SystemTime {
        self.written
    }

    /// The path of the file, for the log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    pub async fn bytes(&self) -> Result<Vec<u8>, StorageError> {
        let file = self.file.try_clone()?;
        let read = blocking(move || {
            let mut bytes = Vec::new();
            file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAX_MANIFEST {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too long for a manifest"));
            }
            Ok(bytes)
        });
        read.await.map_err(StorageError::Io)
    }
}

fn is_unusable(directory: &io::Error) -> bool {
    matches!(directory.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory)
}

/// Returns whether a directory has a name that the archive uses: the first characters of UUIDs.
fn is_prefix(directory: &DirEntry) -> bool {
    let name = directory.file_name();
    name.len() == 3 && name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The image of a file, if the file has a name that the archive uses.
fn uuid_of(prefix: &DirEntry, file: &DirEntry) -> Option<Uuid> {
    let name = file.file_name();
    let stem = name.to_str()?.strip_suffix(".json")?;
    let uuid: Uuid = stem.parse().ok()?;
    (uuid.to_string() == stem && prefix.file_name().to_str() == stem.get(..3)).then_some(uuid)
}

/// The entries of a directory; none if it does not exist.
fn entries(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<DirEntry>> + use<>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten())
}
