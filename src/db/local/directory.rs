// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::db::DbError;
use crate::files::{self, NotRegular};
use crate::manifest::Uuid;
use crate::telemetry::err;

const SUFFIX: &str = ".raw";
/// The suffix of a file that is being written. 4.13.1 ignores such files.
const NEW_SUFFIX: &str = ".raw.new";
/// The suffix of a damaged file, perhaps followed by a number. This server and 4.13.1 ignore such files.
const DAMAGED_SUFFIX: &str = ".raw.damaged";

/// The most bytes that are read from a file: far more than any record has.
pub(super) const LARGEST: u64 = 16 << 20;

/// How many changes of different images can be made at the same time.
const LANES: usize = 16;

/// The files of the manifests: complete, durable, one for each image.
#[derive(Debug)]
pub(in crate::db) struct Directory {
    path: PathBuf,
    lanes: [Mutex<()>; LANES],
    /// Makes every removal fail, as on a disk that refuses it.
    #[cfg(test)]
    pub(super) keeps_all: std::sync::atomic::AtomicBool,
}

impl Directory {
    /// Creates the directory if necessary, and removes the unfinished files that a crash has left.
    pub(super) fn open(base: &Path) -> io::Result<Directory> {
        let directory = Directory::unlocked(base);
        files::create_below(base, &directory.path)?;
        for entry in fs::read_dir(&directory.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| uuid_of(name, NEW_SUFFIX).is_some())
                && let Err(error) = fs::remove_file(entry.path())
            {
                // The file only blocks changes of this one image, and those report it as well.
                let path = entry.path();
                tracing::error!(path = %path.display(), err.json = %err(&error), "an unfinished manifest cannot be removed");
            }
        }
        Ok(directory)
    }

    /// Opens the directory for reading only. Another process may be using it.
    pub(in crate::db) fn unlocked(base: &Path) -> Directory {
        Directory {
            path: base.join("manifests"),
            lanes: Default::default(),
            #[cfg(test)]
            keeps_all: Default::default(),
        }
    }

    /// Checks that the directory can be read.
    pub(super) fn probe(&self) -> Result<(), DbError> {
        fs::read_dir(&self.path).and_then(|mut names| names.next().transpose()).map(drop).map_err(failed)
    }

    /// Returns the name of an image's file.
    pub(super) fn file_name(uuid: Uuid) -> String {
        format!("{uuid}{SUFFIX}")
    }

    /// Returns the UUIDs in the names of the files. Other names are ignored, as in 4.13.1.
    pub(in crate::db) fn uuids(&self) -> io::Result<Vec<Uuid>> {
        let mut uuids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            uuids.extend(entry?.file_name().to_str().and_then(|name| uuid_of(name, SUFFIX)));
        }
        Ok(uuids)
    }

    /// Locks an image, so that other changes of it wait.
    pub(super) fn lock(&self, uuid: Uuid) -> MutexGuard<'_, ()> {
        lock(&self.lanes[lane_of(uuid)])
    }

    /// Locks several images, in a fixed order, so that two such calls cannot deadlock.
    pub(super) fn lock_all(&self, uuids: impl IntoIterator<Item = Uuid>) -> Vec<MutexGuard<'_, ()>> {
        let lanes: BTreeSet<usize> = uuids.into_iter().map(lane_of).collect();
        lanes.into_iter().map(|lane| lock(&self.lanes[lane])).collect()
    }

    /// Reads an image's file; `None` if there is nothing at its name.
    pub(in crate::db) fn read(&self, uuid: Uuid) -> Result<Option<Content>, DbError> {
        match files::read(&self.path_of(uuid), LARGEST) {
            Ok(bytes) => Ok(Some(Content::Bytes(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error)
                if error.kind() == io::ErrorKind::InvalidData || NotRegular::in_error(&error).is_some() =>
            {
                Ok(Some(Content::NoRecord(error.to_string())))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes an image's file and replaces an earlier version. Whatever happens, one of the two is there, complete.
    pub(super) fn write(&self, uuid: Uuid, bytes: &[u8]) -> Result<(), DbError> {
        let new = self.path.join(format!("{uuid}{NEW_SUFFIX}"));
        files::replace_unsynced(&self.path_of(uuid), &new, bytes).map_err(failed)?;
        self.sync()
    }

    /// Removes an image's file.
    pub(super) fn remove(&self, uuid: Uuid) -> Result<(), DbError> {
        #[cfg(test)]
        if self.keeps_all.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(failed(io::ErrorKind::PermissionDenied.into()));
        }
        fs::remove_file(self.path_of(uuid)).map_err(failed)?;
        self.sync()
    }

    /// Gives an image's file a second name, which is returned and which stays when the file is replaced. Anything that
    /// is not a regular file is renamed instead.
    ///
    /// # Errors
    /// After any error the record is as it was before.
    pub(super) fn keep_aside(&self, uuid: Uuid) -> Result<String, DbError> {
        let from = self.path_of(uuid);
        let is_file = fs::symlink_metadata(&from).map_err(failed)?.is_file();
        for number in 0_u32.. {
            let number = if number == 0 { String::new() } else { format!("-{number}") };
            let name = format!("{uuid}{DAMAGED_SUFFIX}{number}");
            let to = self.path.join(&name);
            let kept = match is_file {
                true => fs::hard_link(&from, &to),
                false if fs::symlink_metadata(&to).is_ok() => continue,
                false => fs::rename(&from, &to),
            };
            match kept {
                Ok(()) => return files::sync_directory(&self.path).map(|()| name).map_err(failed),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes the names durable. If it fails, the change is visible, but may not survive a crash of the system.
    fn sync(&self) -> Result<(), DbError> {
        files::sync_directory(&self.path).map_err(|error| DbError::OutcomeUnknown(error.into()))
    }

    fn path_of(&self, uuid: Uuid) -> PathBuf {
        self.path.join(Directory::file_name(uuid))
    }
}

/// What was found at the name of a record.
pub(in crate::db) enum Content {
    /// A file.
    Bytes(Vec<u8>),
    /// Something that is not a record, and the reason.
    NoRecord(String),
}

fn uuid_of(name: &str, suffix: &str) -> Option<Uuid> {
    name.strip_suffix(suffix)?.parse().ok()
}

fn lane_of(uuid: Uuid) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(uuid);
    usize::try_from(hash % LANES as u64).unwrap_or(0)
}

fn lock(lane: &Mutex<()>) -> MutexGuard<'_, ()> {
    // The lock protects no data that a panic could leave inconsistent.
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: io::Error) -> DbError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            DbError::NoSpace(error)
        }
        _ => DbError::Failed(error.into()),
    }
}
