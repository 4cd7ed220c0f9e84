use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

/// The file that is locked, in the directory.
const NAME: &str = "imgapi.lock";

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
    /// Takes the lock of a directory that is there.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    pub fn take(directory: &Path) -> Result<DirectoryLock, LockError> {
        let failed = |source| LockError::Io { path: directory.to_owned(), source };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(directory.join(NAME)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock { directory: directory.to_owned(), file: Arc::new(file) }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
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
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let same = lock.clone();
        let refused = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(refused.to_string().starts_with("another process uses the directory "), "{refused}");
        drop(lock);
        assert!(matches!(DirectoryLock::take(directory.path()), Err(LockError::InUse(_))));
        drop(same);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
