// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stores image files, and the local archive of manifests.
//!
//! A stored file is either complete or absent. [`Storage::receive`] stores the bytes of an [`Upload`] where nobody sees them,
//! and computes their digests. [`Upload::stage`] makes them a file that a manifest can name. [`Staged::settle`] moves it to its
//! final place when a manifest names it. `local.rs` and `manta.rs` describe these steps for each storage.

mod archive;
mod asset;
mod claims;
#[cfg(test)]
mod contract_tests;
mod deletion;
mod digests;
mod error;
mod file_bytes;
mod imgapid;
mod ingest;
mod inventory;
mod local;
mod local_upload;
mod location;
mod logged_entries;
mod manta;
mod manta_connection;
mod manta_read;
mod manta_upload;
mod placement;
mod scrub;
mod spool;
mod state_file;
mod stored_file;
mod temporary;
#[cfg(test)]
mod tests;
mod upload;
mod verify;
mod writer;

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::manifest::Stor;

pub use archive::{ArchiveCopy, manifest_md5};
pub use asset::{Asset, UnknownAsset};
pub use deletion::PendingDeletion;
pub use digests::{Digests, RunningDigests};
pub use error::StorageError;
pub use imgapid::{ImgapidFile, ImgapidImage};
pub use ingest::{Expected, ReceiveError};
pub use inventory::{FileIdentity, Group, Item};
pub use local::LocalStorage;
pub use location::{Location, Target};
pub use manta::{MantaStorage, Occupant};
pub use manta_connection::MantaConnection;
pub use placement::{MantaPlace, Ownership, choose};
pub use scrub::Throttle;
pub use spool::{FileId, Spool, Spooled};
pub use stored_file::{Part, StoredFile};
pub use temporary::{Content, IncomingFile, Leftover, Owner, Version};
pub use upload::{Staged, Upload};

/// The storages of this server.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The local storage, which always exists.
    pub local: LocalStorage,
    manta: Option<MantaStorage>,
}

impl Storage {
    /// Puts the storages together.
    pub fn new(local: LocalStorage, manta: Option<MantaStorage>) -> Storage {
        Storage { local, manta }
    }

    /// The names of the storages.
    pub fn kinds(&self) -> Vec<Stor> {
        let manta = self.manta.as_ref().map(|_| Stor::Manta);
        manta.into_iter().chain([Stor::Local]).collect()
    }

    /// Checks that this server has a storage.
    ///
    /// # Errors
    /// `Absent` if it does not.
    pub fn require(&self, stor: Stor) -> Result<(), StorageError> {
        match stor {
            Stor::Local => Ok(()),
            Stor::Manta => self.manta().map(drop),
        }
    }

    /// Where Manta is, which decides about new files.
    pub fn manta_place(&self) -> MantaPlace {
        match &self.manta {
            None => MantaPlace::None,
            Some(manta) if manta.is_remote() => MantaPlace::Remote,
            Some(_) => MantaPlace::Near,
        }
    }

    /// The storage in Manta.
    ///
    /// # Errors
    /// `Absent` if this server has none.
    pub fn manta(&self) -> Result<&MantaStorage, StorageError> {
        self.manta.as_ref().ok_or(StorageError::Absent(Stor::Manta))
    }
}

fn damaged(expected: &Location) -> StorageError {
    StorageError::Damaged(format!("{}/{}", expected.uuid, expected.asset))
}

/// The bytes of an MD5 in base64.
fn md5_bytes(md5: &str) -> Option<[u8; 16]> {
    STANDARD.decode(md5).ok()?.try_into().ok()
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(io::Error::other(stopped)),
    }
}
