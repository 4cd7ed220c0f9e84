use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Keeps other processes out of the manifests of a base directory. The system gives the lock back with the process.
#[derive(Debug)]
pub(super) struct DirectoryLock(
    #[expect(dead_code, reason = "the lock lives as long as the open file")] File,
);

impl DirectoryLock {
    /// Takes the lock; `None` when another process has it.
    pub(super) fn take(base: &Path) -> io::Result<Option<DirectoryLock>> {
        let path = base.join("manifests.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DirectoryLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
