// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An object on its way to Manta: its bytes but for the last, then the whole of it, then what becomes of it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use manta::{Path, Upload};

use super::ingest::{Digests, Sink};
use super::manta::{MantaStorage, is_lost_race};
use super::{Asset, StorageError, md5_bytes};
use crate::manifest::Uuid;
use crate::telemetry::err;

/// The files whose final names somebody of this process is on the way to, so that another one takes a name of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<(Uuid, Asset)>>>);

impl Claims {
    /// The right to a final name; `None` where somebody has it.
    pub(super) fn claim(&self, uuid: Uuid, asset: Asset) -> Option<Claim> {
        let file = (uuid, asset);
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        is_free.then(|| Claim { file, claims: self.clone() })
    }
}

/// Somebody is on the way to the final name of a file.
#[derive(Debug)]
pub(super) struct Claim {
    file: (Uuid, Asset),
    claims: Claims,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
    }
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
