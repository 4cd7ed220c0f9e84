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

/// How often a lock is tried: somebody may only be looking whether it is held.
const ATTEMPTS: usize = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps other servers out of a base directory: two that shared one would each take the other's files under way for what a
/// crash has left. The system gives the lock back with the process. A clone is the same lock.
#[derive(Debug, Clone)]
pub struct DirectoryLock {
    directory: PathBuf,
    #[expect(dead_code, reason = "the lock lives as long as the open file")]
    file: Arc<File>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another process uses the directory {}: every server needs one of its own", .0.display())]
    InUse(PathBuf),
    /// The system refuses.
    #[error("cannot lock the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// The file that is locked, in the directory.
    pub const NAME: &str = "imgapi.lock";

    /// Whether some process has the lock of a directory. Looking takes it, shared, for a moment.
    pub fn is_held(directory: &Path) -> bool {
        let locked = super::open(&directory.join(DirectoryLock::NAME)).map(|file| file.try_lock_shared());
        matches!(locked, Ok(Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock of a directory that is there.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
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

    /// Which directory it is.
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
