// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Receives a new file into a storage, and publishes it.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::Stream;

use super::ingest::{Expected, ReceiveError};
use super::local_upload::{LocalStaged, LocalUpload};
use super::manta_upload::{MantaStaged, MantaUpload};
use super::{Digests, Location, Occupant, Part, Storage, StorageError, Target, damaged};
use crate::manifest::{OwnName, Stor, Uuid};

/// All bytes of a file that belongs to no image yet. Nobody sees them. Dropping this removes them.
#[derive(Debug)]
pub struct Upload {
    /// Length and digests of the bytes.
    pub digests: Digests,
    target: Target,
    backend: UploadBackend,
}

#[derive(Debug)]
enum UploadBackend {
    Local(LocalUpload),
    Manta(Box<MantaUpload>),
}

/// A complete file that a manifest can name. The owner finishes it by [`Staged::settle`], [`Staged::leave`] or
/// [`Staged::discard`].
#[derive(Debug)]
#[must_use]
pub struct Staged(StagedBackend);

#[derive(Debug)]
enum StagedBackend {
    Local(LocalStaged),
    Manta(MantaStaged),
}

impl Storage {
    /// Receives a whole body. If this fails or is dropped, nothing remains.
    pub async fn receive<S, E>(
        &self,
        target: Target,
        expected: Expected,
        body: S,
    ) -> Result<Upload, ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let (digests, backend) = match target.stor {
            Stor::Local => {
                let (digests, upload) = self.local.receive(expected, body).await?;
                (digests, UploadBackend::Local(upload))
            }
            Stor::Manta => {
                let (digests, upload) = self.manta()?.receive(target, expected, body).await?;
                (digests, UploadBackend::Manta(Box::new(upload)))
            }
        };
        Ok(Upload { digests, target, backend })
    }

    /// Copies a stored file as if it were uploaded. The digests are those of the copied bytes. If the location has all digests,
    /// only the SHA-256 is computed and compared; if it is right, the others are right as well.
    ///
    /// # Errors
    /// `Damaged` if the SHA-256 differs.
    pub async fn copy(&self, from: &Location, to: Target) -> Result<Upload, StorageError> {
        let known = from.digests();
        let body = self.open(from, Part::Whole).await?.into_stream();
        let expected = Expected { length: Some(from.size), limit: u64::MAX, digests: known.clone() };
        let received = self.receive(to, expected, body).await;
        let upload = received.map_err(|error| match error {
            ReceiveError::Body(error) | ReceiveError::Storage(error) => error,
            ReceiveError::TooLarge { .. } => StorageError::NoSpace,
        })?;
        match known {
            Some(known) if known != upload.digests => Err(damaged(from)),
            _ => Ok(upload),
        }
    }

    /// Gives a local file of one image a second name as a file of another image. The caller holds the locks of both images.
    pub async fn link(&self, from: &Location, to: Uuid) -> Result<Staged, StorageError> {
        Ok(Staged(StagedBackend::Local(self.local.link(from.uuid, to, from.asset, &from.sha1).await?)))
    }

    /// Makes an upload of a local file that was not stored by this server, without copying it: the upload is a second name of the
    /// file. The digests are those of its bytes.
    pub async fn adopt(&self, path: PathBuf, target: Target) -> Result<Upload, StorageError> {
        let (digests, upload) = self.local.adopt(path).await?;
        Ok(Upload { digests, target, backend: UploadBackend::Local(upload) })
    }

    /// Copies a file in Manta that has a name of its own to the final name, and replaces `occupant`. `None` if another file of
    /// the image has taken the final name meanwhile, or is about to.
    pub async fn copy_to_final_name(
        &self,
        location: &Location,
        occupant: Occupant,
    ) -> Result<Option<Staged>, StorageError> {
        let copied = self.manta()?.copy_to_final_name(location, occupant).await?;
        Ok(copied.map(|staged| Staged(StagedBackend::Manta(staged))))
    }
}

impl Upload {
    /// The name of the object in Manta, if it is not the final name. The manifest has to keep it.
    pub fn object(&self) -> Option<OwnName> {
        let name = match &self.backend {
            UploadBackend::Local(_) => None,
            UploadBackend::Manta(upload) => upload.object(),
        };
        name.map(|name| OwnName { name: name.to_owned(), displaces: None })
    }

    /// Makes these bytes a file that a manifest of the target's image can name. The caller holds the image's lock.
    pub async fn stage(self) -> Result<Staged, StorageError> {
        let Upload { digests, target, backend } = self;
        Ok(Staged(match backend {
            UploadBackend::Local(upload) => StagedBackend::Local(upload.stage(target, digests.sha1).await?),
            UploadBackend::Manta(upload) => StagedBackend::Manta(upload.stage(&digests).await?),
        }))
    }
}

impl Staged {
    /// Returns whether the file is in Manta.
    pub fn is_in_manta(&self) -> bool {
        matches!(self.0, StagedBackend::Manta(_))
    }

    /// Finishes a file that a manifest names: a local one is moved to its final place. Readers find it in both places, and
    /// after a failure the next sweep tries again.
    pub async fn settle(self) -> Result<(), StorageError> {
        match self.0 {
            StagedBackend::Local(staged) => staged.settle().await,
            StagedBackend::Manta(staged) => {
                staged.keep();
                Ok(())
            }
        }
    }

    /// Leaves the file in place, because it is not known whether a manifest names it.
    pub fn leave(self) {
        match self.0 {
            StagedBackend::Local(staged) => staged.leave(),
            StagedBackend::Manta(staged) => staged.keep(),
        }
    }

    /// Removes the file, because no manifest names it or will name it. The caller holds the image's lock, since the next upload
    /// may stage the same file.
    pub async fn discard(self) -> Result<(), StorageError> {
        match self.0 {
            StagedBackend::Local(staged) => staged.discard().await,
            StagedBackend::Manta(staged) => staged.discard().await,
        }
    }
}
