//! Where image files live, and the local archive of manifests.
//!
//! A file is all there or not there: bytes are written under a temporary name while their digests are computed,
//! made durable, given a name that says whose and which bytes they are, and only then named by a manifest. See
//! `local.rs` for the names on disk.

mod archive;
mod asset;
mod ingest;
mod local;
mod reread;
mod temporary;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

pub use archive::Archived;
pub use asset::{Asset, UnknownAsset};
pub use ingest::{Digests, ReceiveError};
pub use local::{LocalStorage, Received, Staged};
pub use temporary::{Leftover, Owner};

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk is full, over quota, or the file is larger than the system lets this process write.
    #[error("no space left on the local storage")]
    NoSpace,
    /// The file is not there.
    #[error("file {0} does not exist")]
    NotFound(String),
    /// Anything else the system said. The message may hold a path, so it is for the log only.
    #[error("local storage failed")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> StorageError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StorageError::NoSpace
            }
            _ => StorageError::Io(error),
        }
    }
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(io::Error::other(stopped)),
    }
}
