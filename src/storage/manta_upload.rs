// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Receives a new file into Manta, and publishes it.

use bytes::Bytes;
use futures_util::Stream;
use manta::{ErrorCode, NewObject, Path, Precondition};

use super::claims::Claim;
use super::ingest::{Expected, ReceiveError, Sink, ingest};
use super::manta::{CONTENT_TYPE, MantaStorage, Occupant, is_lost_race};
use super::{Digests, Location, StorageError, Target, md5_bytes};
use crate::manifest::Uuid;
use crate::telemetry::err;

/// A running upload to Manta. All bytes but the last ones have been sent; these are held back, so that nobody sees the object
/// yet. Dropping this breaks the upload off.
#[derive(Debug)]
pub(super) struct MantaUpload {
    storage: MantaStorage,
    upload: manta::Upload,
    held_back: Option<Bytes>,
    path: Path,
    /// The object's own name, if it is not the final name.
    object: Option<String>,
    /// Keeps other uploads of this process away from the final name.
    claim: Option<Claim>,
}

/// An object that no record names yet. Dropping it deletes it in the background, by its etag.
#[derive(Debug)]
pub(super) struct MantaStaged {
    /// The object to delete, unless a record names it.
    object: Option<(MantaStorage, Path, Option<String>)>,
    _claim: Option<Claim>,
}

impl Sink for MantaUpload {
    /// Sends the bytes that were held back, and holds the new ones back.
    async fn send(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        if let Some(before) = self.held_back.replace(bytes) {
            self.upload.write(before).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

impl MantaStorage {
    /// Receives a whole body, and holds its last bytes back.
    pub(super) async fn receive<S, E>(
        &self,
        target: Target,
        expected: Expected,
        body: S,
    ) -> Result<(Digests, MantaUpload), ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let mut upload = self.begin(target, &expected).await?;
        let digests = ingest(&mut upload, expected, body).await?;
        Ok((digests, upload))
    }

    /// Begins an object: under the final name if that is free, otherwise under a name of its own.
    async fn begin(&self, target: Target, expected: &Expected) -> Result<MantaUpload, StorageError> {
        let started = |upload, path, object, claim| MantaUpload {
            storage: self.clone(),
            upload,
            held_back: None,
            path,
            object,
            claim,
        };
        if !target.replaces
            && let Some(claim) = self.0.claims.claim(target.uuid, target.asset)
        {
            let path = self.object(target.uuid, &target.asset.to_string())?;
            match self.put(&path, expected).await {
                // Another upload's object has the name; its record may name it soon, or never.
                Err(StorageError::Manta(error)) if error.code() == Some(ErrorCode::PreconditionFailed) => {}
                upload => return Ok(started(upload?, path, None, Some(claim))),
            }
        }
        let name = format!("{}.{}", target.asset, Uuid::new_v4());
        let path = self.object(target.uuid, &name)?;
        Ok(started(self.put(&path, expected).await?, path, Some(name), None))
    }

    async fn put(&self, path: &Path, expected: &Expected) -> Result<manta::Upload, StorageError> {
        let new = NewObject {
            content_type: Some(CONTENT_TYPE.to_owned()),
            length: expected.length,
            max_length: expected.length.is_none().then_some(expected.limit),
            md5: expected.digests.as_ref().and_then(|digests| md5_bytes(&digests.md5)),
            precondition: Precondition::Absent,
            make_directories: true,
            ..NewObject::default()
        };
        Ok(self.client().await?.put(path, &new).await?)
    }

    /// Copies an object with a name of its own to the final name, and replaces `occupant`. `None` if another file of the image
    /// has taken the final name meanwhile, or is about to.
    pub(super) async fn copy_to_final_name(
        &self,
        location: &Location,
        occupant: Occupant,
    ) -> Result<Option<MantaStaged>, StorageError> {
        let Some(claim) = self.0.claims.claim(location.uuid, location.asset) else { return Ok(None) };
        let place = self.object(location.uuid, &location.asset.to_string())?;
        match self.copy_to(location, &place, occupant.precondition, true).await {
            Err(StorageError::Manta(error)) if is_lost_race(&error) => Ok(None),
            copied => {
                let staged = MantaStaged::new(self.clone(), place, copied?.etag, Some(claim));
                Ok(Some(staged))
            }
        }
    }
}

impl MantaUpload {
    /// The object's own name, if it is not the final name.
    pub(super) fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Sends the last bytes, upon which Manta creates the object.
    pub(super) async fn stage(self, digests: &Digests) -> Result<MantaStaged, StorageError> {
        let MantaUpload { storage, mut upload, held_back, path, object, claim } = self;
        if let Some(rest) = held_back {
            upload.write(rest).await?;
        }
        let stored = match upload.finish().await {
            Err(error) if is_lost_race(&error) => return Err(StorageError::Overtaken),
            Err(error) => {
                // The object may exist all the same. A name of its own belongs to nobody else.
                if object.is_some() {
                    drop(MantaStaged::new(storage, path, None, claim));
                }
                return Err(error.into());
            }
            Ok(stored) => stored,
        };
        let expected = md5_bytes(&digests.md5);
        let staged = MantaStaged::new(storage, path, stored.etag, claim);
        if stored.md5.is_some() && stored.md5 != expected {
            staged.discard().await?;
            return Err(StorageError::Manta(manta::Error::Md5.into()));
        }
        Ok(staged)
    }
}

impl MantaStaged {
    /// The object at this path, with this etag.
    pub(super) fn new(
        storage: MantaStorage,
        path: Path,
        etag: Option<String>,
        claim: Option<Claim>,
    ) -> MantaStaged {
        MantaStaged { object: Some((storage, path, etag)), _claim: claim }
    }

    /// Keeps the object, because a record names it or may name it.
    pub(super) fn keep(mut self) {
        self.object = None;
    }

    /// Deletes the object, because no record names it or will name it.
    pub(super) async fn discard(mut self) -> Result<(), StorageError> {
        let Some((storage, path, etag)) = self.object.take() else { return Ok(()) };
        storage.delete_object(&path, etag.as_deref()).await
    }
}

impl Drop for MantaStaged {
    fn drop(&mut self) {
        let Some((storage, path, etag)) = self.object.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = storage.delete_object(&path, etag.as_deref()).await {
                tracing::warn!(%path, err.json = %err(&error), "cannot delete an object that no image has");
            }
        });
    }
}
