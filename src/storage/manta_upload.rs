// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An object on its way to Manta: its bytes but for the last, then the whole of it, then what becomes of it.

use bytes::Bytes;
use futures_util::Stream;
use manta::{ErrorCode, NewObject, Path, Precondition, Upload};

use super::claims::Claim;
use super::ingest::{Digesting, Digests, Sink, ingest};
use super::manta::{CONTENT_TYPE, MantaStorage, Occupant, is_lost_race};
use super::{Location, ReceiveError, Staged, StagedIn, StorageError, Target, md5_bytes};
use crate::manifest::Uuid;
use crate::telemetry::err;

/// What is known of bytes before they come. Manta refuses others.
struct Announced {
    length: Option<u64>,
    md5: Option<[u8; 16]>,
    /// Most bytes that may come.
    limit: u64,
}

/// Bytes that are in Manta but for the last, so that nobody sees them yet. Dropping them breaks the upload off.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) incoming: Incoming,
    pub(super) storage: MantaStorage,
}

/// An object that no record names yet. Dropping it deletes it, by its etag, some time later.
#[derive(Debug)]
pub(super) struct Placed {
    /// What to delete, unless a record names it.
    object: Option<(MantaStorage, Path, Option<String>)>,
    _claim: Option<Claim>,
}

/// An object on its way, whose last bytes are held back.
#[derive(Debug)]
pub(super) struct Incoming {
    upload: Upload,
    held_back: Option<Bytes>,
    path: Path,
    object: Option<String>,
    claim: Option<Claim>,
}

impl Incoming {
    /// An upload to `path`, the final name that is claimed, or one of its own.
    pub(super) fn new(upload: Upload, path: Path, object: Option<String>, claim: Option<Claim>) -> Incoming {
        Incoming { upload, held_back: None, path, object, claim }
    }
}

impl Sink for Incoming {
    /// Sends what was held back, and holds these bytes back.
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
    /// Receives all of a body of at most `limit` bytes, but holds the last of them back.
    pub(super) async fn receive<S, E>(
        &self,
        target: Target,
        expected: Option<u64>,
        digesting: Digesting,
        limit: u64,
        body: S,
    ) -> Result<(Digests, Arrived), ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let md5 = match &digesting {
            Digesting::Sha256Of(known) => md5_bytes(&known.md5),
            Digesting::All => None,
        };
        let mut incoming = self.begin(target, &Announced { length: expected, md5, limit }).await?;
        let digests = ingest(&mut incoming, digesting, limit, body).await?;
        Ok((digests, Arrived { incoming, storage: self.clone() }))
    }

    /// Begins an object: under the final name where there is none yet, else under one of its own.
    async fn begin(&self, target: Target, announced: &Announced) -> Result<Incoming, StorageError> {
        if !target.replaces
            && let Some(claim) = self.0.claims.claim(target.uuid, target.asset)
        {
            let path = self.object(target.uuid, &target.asset.to_string())?;
            match self.put(&path, announced).await {
                // Somebody's: an upload that no record names yet, or never will.
                Err(StorageError::Manta(error)) if error.code() == Some(ErrorCode::PreconditionFailed) => {}
                upload => return Ok(Incoming::new(upload?, path, None, Some(claim))),
            }
        }
        let name = format!("{}.{}", target.asset, Uuid::new_v4());
        let path = self.object(target.uuid, &name)?;
        Ok(Incoming::new(self.put(&path, announced).await?, path, Some(name), None))
    }

    async fn put(&self, path: &Path, announced: &Announced) -> Result<Upload, StorageError> {
        let new = NewObject {
            content_type: Some(CONTENT_TYPE.to_owned()),
            length: announced.length,
            max_length: announced.length.is_none().then_some(announced.limit),
            md5: announced.md5,
            precondition: Precondition::Absent,
            make_directories: true,
            ..NewObject::default()
        };
        Ok(self.client().await?.put(path, &new).await?)
    }

    /// Copies a file that has a name of its own to its final name, in the place of `occupant`; `None` if that is no longer
    /// there, because another file of the image was settled meanwhile, or if another one is on its way there.
    pub async fn settle(
        &self,
        location: &Location,
        occupant: Occupant,
    ) -> Result<Option<Staged>, StorageError> {
        let Some(claim) = self.0.claims.claim(location.uuid, location.asset) else { return Ok(None) };
        let place = self.object(location.uuid, &location.asset.to_string())?;
        match self.copy_to(location, &place, occupant.precondition, true).await {
            Err(StorageError::Manta(error)) if is_lost_race(&error) => Ok(None),
            copied => {
                let placed = Placed::new(self.clone(), place, copied?.etag, Some(claim));
                Ok(Some(Staged(StagedIn::Manta(placed))))
            }
        }
    }
}

impl Arrived {
    /// The name of the object, if it is one of its own.
    pub(super) fn object(&self) -> Option<&str> {
        self.incoming.object.as_deref()
    }

    /// Lets Manta have the rest, which makes the object.
    pub(super) async fn place(self, digests: &Digests) -> Result<Placed, StorageError> {
        let Incoming { mut upload, held_back, path, object, claim } = self.incoming;
        if let Some(rest) = held_back {
            upload.write(rest).await?;
        }
        let stored = match upload.finish().await {
            Err(error) if is_lost_race(&error) => return Err(StorageError::Overtaken),
            Err(error) => {
                // It may be there all the same. Under a name of its own it can be nobody else's.
                if object.is_some() {
                    drop(Placed::new(self.storage, path, None, claim));
                }
                return Err(error.into());
            }
            Ok(stored) => stored,
        };
        let expected = md5_bytes(&digests.md5);
        let placed = Placed::new(self.storage, path, stored.etag, claim);
        if stored.md5.is_some() && stored.md5 != expected {
            placed.discard().await?;
            return Err(StorageError::Manta(manta::Error::Md5.into()));
        }
        Ok(placed)
    }
}

impl Placed {
    /// The object at this path with this etag.
    pub(super) fn new(
        storage: MantaStorage,
        path: Path,
        etag: Option<String>,
        claim: Option<Claim>,
    ) -> Placed {
        Placed { object: Some((storage, path, etag)), _claim: claim }
    }

    /// A record names it by now, or may.
    pub(super) fn keep(mut self) {
        self.object = None;
    }

    /// No record names it, and none will.
    pub(super) async fn discard(mut self) -> Result<(), StorageError> {
        let Some((storage, path, etag)) = self.object.take() else { return Ok(()) };
        storage.delete_object(&path, etag.as_deref()).await
    }
}

impl Drop for Placed {
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
