// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

/// How often a lock is tried, because another process may only be checking whether it is held.
const ATTEMPTS: usize = 3;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps other servers out of a base directory: if two shared one, each would treat the other's unfinished files as
/// leftovers of a crash. The system releases the lock when the process ends. Clones share the lock.
#[derive(Debug, Clone)]
pub struct DirectoryLock {
    directory: PathBuf,
    #[expect(dead_code, reason = "the lock lives as long as the open file")]
    file: Arc<File>,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("another process uses the directory {}: every server needs one of its own", .0.display())]
    InUse(PathBuf),
    /// The system reported an error.
    #[error("cannot lock the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// The name of the locked file in the directory.
    pub const NAME: &str = "imgapi.lock";

    /// Returns whether a process holds the lock of a directory. The check itself takes a shared lock for a moment.
    pub fn is_held(directory: &Path) -> bool {
        let locked = super::open(&directory.join(DirectoryLock::NAME)).map(|file| file.try_lock_shared());
        matches!(locked, Ok(Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock of an existing directory.
    ///
    /// # Errors
    /// Another process holds it, or the system reports an error.
    pub fn take(directory: &Path) -> Result<DirectoryLock, LockError> {
        let failed = |source| LockError::Io { path: directory.to_owned(), source };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(directory.join(DirectoryLock::NAME)).map_err(failed)?;
        for attempt in 1..=ATTEMPTS {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(DirectoryLock { directory: directory.to_owned(), file: Arc::new(file) });
                }
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(LockError::InUse(directory.to_owned()))
    }

    /// Returns the locked directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!DirectoryLock::is_held(directory.path()));
        let lock = DirectoryLock::take(directory.path()).unwrap();
        assert!(DirectoryLock::is_held(directory.path()));
        let same = lock.clone();
        let refused = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(refused.to_string().starts_with("another process uses the directory "), "{refused}");
        drop(lock);
        assert!(matches!(DirectoryLock::take(directory.path()), Err(LockError::InUse(_))));
        drop(same);
        assert!(!DirectoryLock::is_held(directory.path()));
        DirectoryLock::take(directory.path()).unwrap();
    }
}
