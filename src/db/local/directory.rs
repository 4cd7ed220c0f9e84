// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::db::DbError;
use crate::files::{self, NotRegular};
use crate::manifest::Uuid;
use crate::telemetry::err;

const SUFFIX: &str = ".raw";
/// Of a file that is being written. 4.13.1 ignores it.
const NEW_SUFFIX: &str = ".raw.new";
/// Of a file that was damaged, perhaps with a number behind it. Ignored by both.
const DAMAGED_SUFFIX: &str = ".raw.damaged";

/// Most bytes of a file that is read: far more than a record has.
pub(super) const LARGEST: u64 = 16 << 20;

/// Changes of different images are made at the same time, up to so many.
const LANES: usize = 16;

/// The files themselves: whole, durable, one for each image.
#[derive(Debug)]
pub(in crate::db) struct Directory {
    path: PathBuf,
    lanes: [Mutex<()>; LANES],
    /// The disk refuses to remove anything.
    #[cfg(test)]
    pub(super) keeps_all: std::sync::atomic::AtomicBool,
}

impl Directory {
    /// Makes the directory if it is not there, and removes what a crash has left of unfinished writes.
    pub(super) fn open(base: &Path) -> io::Result<Directory> {
        let directory = Directory::unlocked(base);
        files::create_below(base, &directory.path)?;
        File::open(base)?.sync_all()?;
        for entry in fs::read_dir(&directory.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| uuid_of(name, NEW_SUFFIX).is_some())
                && let Err(error) = fs::remove_file(entry.path())
            {
                // It is in nobody's way but that of changes of the one image, which say so, too.
                let path = entry.path();
                tracing::error!(path = %path.display(), err.json = %err(&error), "an unfinished manifest cannot be removed");
            }
        }
        Ok(directory)
    }

    /// The directory as it is, which another process may use: only to be read.
    pub(in crate::db) fn unlocked(base: &Path) -> Directory {
        Directory {
            path: base.join("manifests"),
            lanes: Default::default(),
            #[cfg(test)]
            keeps_all: Default::default(),
        }
    }

    /// Whether the names can be read.
    pub(super) fn probe(&self) -> Result<(), DbError> {
        fs::read_dir(&self.path).and_then(|mut names| names.next().transpose()).map(drop).map_err(failed)
    }

    /// The name of an image's file.
    pub(super) fn file_name(uuid: Uuid) -> String {
        format!("{uuid}{SUFFIX}")
    }

    /// UUIDs by the names of the files. Other names are ignored, as by 4.13.1.
    pub(in crate::db) fn uuids(&self) -> io::Result<Vec<Uuid>> {
        let mut uuids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            uuids.extend(entry?.file_name().to_str().and_then(|name| uuid_of(name, SUFFIX)));
        }
        Ok(uuids)
    }

    /// Keeps other changes of the image waiting.
    pub(super) fn lock(&self, uuid: Uuid) -> MutexGuard<'_, ()> {
        lock(&self.lanes[lane_of(uuid)])
    }

    /// The same for several images, in one order, so that two who do so never wait for each other.
    pub(super) fn lock_all(&self, uuids: impl IntoIterator<Item = Uuid>) -> Vec<MutexGuard<'_, ()>> {
        let lanes: BTreeSet<usize> = uuids.into_iter().map(lane_of).collect();
        lanes.into_iter().map(|lane| lock(&self.lanes[lane])).collect()
    }

    /// What is there of an image's file; `None` when nothing is.
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

    /// Writes an image's file, in the place of an earlier version: whatever happens, one of the two is there, whole.
    pub(super) fn write(&self, uuid: Uuid, bytes: &[u8]) -> Result<(), DbError> {
        let new = self.path.join(format!("{uuid}{NEW_SUFFIX}"));
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, self.path_of(uuid)));
        if let Err(error) = written {
            // It may not even have been made; and the next start removes it.
            let _ = fs::remove_file(&new);
            return Err(failed(error));
        }
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

    /// Gives an image's file a second name, which is returned: it stays when the file is replaced. What is no file gets
    /// another name in the place of this one.
    ///
    /// # Errors
    /// Nothing that counts was changed, whatever they are.
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
                Ok(()) => return sync(&self.path).map(|()| name).map_err(failed),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes the names durable. The change can be seen by then, but may not outlast a crash of the system.
    fn sync(&self) -> Result<(), DbError> {
        sync(&self.path).map_err(|error| DbError::OutcomeUnknown(error.into()))
    }

    fn path_of(&self, uuid: Uuid) -> PathBuf {
        self.path.join(Directory::file_name(uuid))
    }
}

/// What is at the name of a record.
pub(in crate::db) enum Content {
    /// A file.
    Bytes(Vec<u8>),
    /// Something that is no record, and why.
    NoRecord(String),
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = files::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn uuid_of(name: &str, suffix: &str) -> Option<Uuid> {
    name.strip_suffix(suffix)?.parse().ok()
}

fn lane_of(uuid: Uuid) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(uuid);
    usize::try_from(hash % LANES as u64).unwrap_or(0)
}

fn lock(lane: &Mutex<()>) -> MutexGuard<'_, ()> {
    // Nothing is behind it that a panic could break.
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
