// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where image files live, and the local archive of manifests.
//!
//! A file is all there or not there. Bytes that arrive are kept where nobody sees them while their digests are computed;
//! [`Storage::stage`] makes them a file that a manifest can name; [`Staged::settle`] says that one does. `local.rs` and
//! `manta.rs` tell what that means in each storage.

mod archive;
mod asset;
mod claims;
mod condemned;
#[cfg(test)]
mod contract_tests;
mod file_bytes;
mod ingest;
mod inventory;
mod local;
mod location;
mod manta;
mod manta_connection;
mod manta_upload;
mod placement;
mod scrub;
mod spool;
mod state_file;
mod strangers;
mod temporary;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::fs::File;
use std::io;

use ::manta::ErrorCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::manifest::{OwnName, Stor, Uuid};

pub use archive::Archived;
pub use asset::{Asset, UnknownAsset};
pub use condemned::Condemned;
pub use ingest::{Digests, ReceiveError};
pub use inventory::{FileIdentity, Group, Item};
pub use local::LocalStorage;
pub use location::{Location, Target};
pub use manta::{MantaStorage, Occupant, RemoteFile};
pub use manta_connection::MantaConnection;
pub use placement::{MantaPlace, Ownership, choose};
pub use scrub::Throttle;
pub use spool::{FileId, Spool, Spooled};
pub use temporary::{Content, Leftover, Owner, Unfinished, Version};

use ingest::Digesting;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk is full, over quota, or the file is larger than the system lets this process write.
    #[error("no space left on the local storage")]
    NoSpace,
    /// The file is not there.
    #[error("file {0} does not exist")]
    NotFound(String),
    /// What is there are not the bytes of the file.
    #[error("file {0} is another one")]
    Damaged(String),
    /// Anything else the system said. The message may hold a path, so it is for the log only.
    #[error("local storage failed")]
    Io(#[source] io::Error),
    /// Manta refused, or did not answer.
    #[error("manta failed")]
    Manta(#[source] Box<::manta::Error>),
    /// Manta cannot be asked: there is no key that can be used.
    #[error("manta cannot be used")]
    MantaUnusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process has stored the same file of the same image meanwhile.
    #[error("another upload of the same file was faster")]
    Overtaken,
    /// The name of a file cannot be one in Manta.
    #[error("not a name in manta")]
    InvalidName,
    /// This server has no such storage.
    #[error("there is no storage {0}")]
    Absent(Stor),
}

impl StorageError {
    /// Whether it may be different later, or after an operator has given Manta what it wants.
    pub fn is_temporary(&self) -> bool {
        let StorageError::Manta(error) = self else { return false };
        let is_denied = matches!(&**error, ::manta::Error::Server(refusal) if matches!(refusal.status.as_u16(), 401 | 403));
        error.is_unavailable() || error.is_retriable() || is_denied
    }

    /// Whether Manta says that the directory of an image is not there.
    pub fn is_about_a_directory(&self) -> bool {
        matches!(self, StorageError::Manta(error) if error.code() == Some(::manta::ErrorCode::DirectoryDoesNotExist))
    }

    /// Whether Manta answers nobody now, or not this server; so there is no use in asking it for something else.
    pub fn is_away(&self) -> bool {
        match self {
            StorageError::Manta(error) => {
                error.is_unavailable() && error.code() != Some(ErrorCode::InternalError)
            }
            StorageError::MantaUnusable(_) => true,
            _ => false,
        }
    }

    /// What is wrong with a path in Manta that was not chosen here.
    pub fn path_problem(&self) -> Option<&'static str> {
        let code = match self {
            StorageError::InvalidName => return Some("is no path in manta"),
            StorageError::Manta(error) => error.code()?,
            _ => return None,
        };
        Some(match code {
            ErrorCode::AuthorizationFailed | ErrorCode::NoMatchingRoleTag => "may not be written to",
            ErrorCode::DirectoryDoesNotExist => "is in no directory",
            ErrorCode::ParentNotDirectory => "is below an object",
            ErrorCode::OperationNotAllowedOnDirectory => "is in the place of a directory",
            ErrorCode::OperationNotAllowedOnRootDirectory => {
                "is in the place of a directory that is always there"
            }
            ErrorCode::AccountDoesNotExist | ErrorCode::InvalidResource => "is nobody's",
            _ => return None,
        })
    }
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

impl From<::manta::Error> for StorageError {
    fn from(error: ::manta::Error) -> StorageError {
        StorageError::Manta(Box::new(error))
    }
}

/// All storages of this server.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The local one, which is always there.
    pub local: LocalStorage,
    manta: Option<MantaStorage>,
}

/// Bytes that have arrived and belong to no image yet. Dropping them removes them.
#[derive(Debug)]
pub struct Received {
    /// What they are.
    pub digests: Digests,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Local(local::Received),
    Manta(Box<manta_upload::Arrived>),
}

/// A complete file for a manifest to name. It is for its maker to say what becomes of it: [`Staged::settle`],
/// [`Staged::leave`] or [`Staged::discard`].
#[derive(Debug)]
#[must_use]
pub struct Staged(StagedIn);

#[derive(Debug)]
enum StagedIn {
    Local(local::Staged),
    Manta(manta_upload::Placed),
}

/// A stored file that can be read.
#[derive(Debug)]
pub enum StoredFile {
    /// An open file on disk.
    Local(File),
    /// An object.
    Manta(RemoteFile),
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

    /// Whether there is this storage.
    ///
    /// # Errors
    /// `Absent`.
    pub fn require(&self, stor: Stor) -> Result<(), StorageError> {
        match stor {
            Stor::Local => Ok(()),
            Stor::Manta => self.manta().map(drop),
        }
    }

    /// Where Manta is, for the choice of a storage.
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
    /// `Absent`.
    pub fn manta(&self) -> Result<&MantaStorage, StorageError> {
        self.manta.as_ref().ok_or(StorageError::Absent(Stor::Manta))
    }

    /// Receives a whole body of at most `limit` bytes; `expected` is the announced length, if any. When it fails, or is
    /// dropped, nothing remains.
    pub async fn receive<S, E>(
        &self,
        target: Target,
        expected: Option<u64>,
        limit: u64,
        body: S,
    ) -> Result<Received, ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        self.take(target, expected, Digesting::All, limit, body).await
    }

    async fn take<S, E>(
        &self,
        target: Target,
        expected: Option<u64>,
        digesting: Digesting,
        limit: u64,
        body: S,
    ) -> Result<Received, ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        Ok(match target.stor {
            Stor::Local => {
                let received = self.local.receive(expected, digesting, limit, body).await?;
                Received { digests: received.digests.clone(), held: Held::Local(received) }
            }
            Stor::Manta => {
                let (digests, arrived) =
                    self.manta()?.receive(target, expected, digesting, limit, body).await?;
                Received { digests, held: Held::Manta(Box::new(arrived)) }
            }
        })
    }

    /// Makes `received` the file that a manifest of this image can name. The caller has the image's lock.
    pub async fn stage(
        &self,
        received: Received,
        uuid: Uuid,
        asset: impl Into<Asset>,
    ) -> Result<Staged, StorageError> {
        Ok(Staged(match received.held {
            Held::Local(local) => StagedIn::Local(self.local.stage(local, uuid, asset).await?),
            Held::Manta(arrived) => StagedIn::Manta(arrived.place(&received.digests).await?),
        }))
    }

    /// Makes a local file of one image, which has these bytes, one of another: the same bytes under a second name. The
    /// caller has the locks of both.
    pub async fn link(&self, from: &Location, to: Uuid) -> Result<Staged, StorageError> {
        Ok(Staged(StagedIn::Local(self.local.link(from.uuid, to, from.asset, &from.sha1).await?)))
    }

    /// Opens a stored file. With Manta nothing is asked yet.
    pub async fn open(&self, location: &Location) -> Result<StoredFile, StorageError> {
        Ok(match location.stor {
            Stor::Local => {
                let opened = self.local.open(location.uuid, location.asset, &location.sha1).await?;
                StoredFile::Local(opened)
            }
            Stor::Manta => StoredFile::Manta(self.manta()?.file(location)),
        })
    }

    /// Opens a stored file after a look at all its bytes. Manta is asked for their MD5.
    ///
    /// # Errors
    /// `Damaged` if they are others.
    pub async fn open_verified(&self, location: &Location) -> Result<StoredFile, StorageError> {
        if location.stor == Stor::Local {
            let opened = self.local.open_verified(location).await?;
            return opened.map(StoredFile::Local).ok_or_else(|| damaged(location));
        }
        let file = self.open(location).await?;
        file.check(location).await?;
        Ok(file)
    }

    /// The bytes of a stored file.
    pub async fn read(
        &self,
        location: &Location,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        Ok(match self.open(location).await? {
            StoredFile::Local(file) => file_bytes::chunks(file).map_err(StorageError::from).boxed(),
            StoredFile::Manta(file) => file.read(None).await?.boxed(),
        })
    }

    /// Copies a stored file, as if it were uploaded: the digests are those of the bytes that were read. Where all of them are
    /// known before, one is compared, and the others are known to be the same.
    ///
    /// # Errors
    /// `Damaged` if that one is another.
    pub async fn copy(&self, from: &Location, to: Target) -> Result<Received, StorageError> {
        let known = from.digests();
        let body = self.read(from).await?;
        let digesting = known.clone().map_or(Digesting::All, Digesting::Sha256Of);
        let taken = self.take(to, Some(from.size), digesting, u64::MAX, body).await;
        let received = taken.map_err(|error| match error {
            ReceiveError::Body(error) | ReceiveError::Storage(error) => error,
            ReceiveError::TooLarge { .. } => StorageError::NoSpace,
        })?;
        match known {
            Some(known) if known != received.digests => Err(damaged(from)),
            _ => Ok(received),
        }
    }
}

impl Received {
    /// The name of the object in Manta, if it is not that of the asset: the manifest has to tell it.
    pub fn object(&self) -> Option<OwnName> {
        let name = match &self.held {
            Held::Local(_) => None,
            Held::Manta(arrived) => arrived.object(),
        };
        name.map(|name| OwnName { name: name.to_owned(), displaces: None })
    }
}

impl Staged {
    /// Whether it is in Manta.
    pub fn is_in_manta(&self) -> bool {
        matches!(self.0, StagedIn::Manta(_))
    }

    /// A manifest names the file by now: locally it moves to its final place. It is found in either place, and after a
    /// failure the next sweep tries again.
    pub async fn settle(self) -> Result<(), StorageError> {
        match self.0 {
            StagedIn::Local(staged) => staged.settle().await,
            StagedIn::Manta(placed) => {
                placed.keep();
                Ok(())
            }
        }
    }

    /// Leaves the file where it is, because it is not known whether a manifest names it.
    pub fn leave(self) {
        match self.0 {
            StagedIn::Local(staged) => staged.leave(),
            StagedIn::Manta(placed) => placed.keep(),
        }
    }

    /// Removes the file, because no manifest names it, and none will. The caller has the image's lock: whoever comes next
    /// may stage the same file.
    pub async fn discard(self) -> Result<(), StorageError> {
        match self.0 {
            StagedIn::Local(staged) => staged.discard().await,
            StagedIn::Manta(placed) => placed.discard().await,
        }
    }
}

impl StoredFile {
    /// Whether the storage has as many bytes as the manifest says.
    pub async fn check(&self, expected: &Location) -> Result<(), StorageError> {
        match self {
            StoredFile::Local(file) if file.metadata()?.len() == expected.size => Ok(()),
            StoredFile::Local(_) => Err(damaged(expected)),
            StoredFile::Manta(file) => file.check().await,
        }
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
