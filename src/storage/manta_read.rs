// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Reads files from Manta.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use manta::{ByteRange, ErrorCode, GetOptions, Path};

use super::{Location, MantaStorage, StorageError, damaged, md5_bytes};

impl MantaStorage {
    /// Checks that Manta has these bytes, as far as Manta reports it.
    ///
    /// # Errors
    /// `NotFound` if there is no object; `Damaged` if it has another length or MD5.
    pub(super) async fn check(&self, location: &Location) -> Result<(), StorageError> {
        self.etag(location).await.map(drop)
    }

    /// Does the same as [`check`](Self::check), and returns the object's etag if Manta reports it.
    pub(super) async fn etag(&self, location: &Location) -> Result<Option<String>, StorageError> {
        self.compared(&self.path_of(location)?, location).await
    }

    /// The etag of the object, if its length and MD5 are right.
    async fn compared(&self, path: &Path, location: &Location) -> Result<Option<String>, StorageError> {
        let known = self.client().await?.head(path).await.map_err(|error| missing(error, location))?;
        compare(location, known.length, known.md5)?;
        Ok(known.etag)
    }

    /// Reads a file, or a part of it. When this returns, Manta has begun to answer.
    ///
    /// The answer to a request for a part has no MD5 of the whole object. So a first request checks the whole object, and a
    /// second one asks for a part of the object with the same etag.
    pub(super) async fn read(
        &self,
        location: &Location,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<Bytes, StorageError>> + Send + use<>, StorageError> {
        let path = self.path_of(location)?;
        let is_whole = range.is_none();
        let etag = if is_whole { None } else { self.compared(&path, location).await? };
        let range = range.map(|range| ByteRange { first: range.start, last: Some(range.end - 1) });
        // The MD5 is compared before the last bytes are passed on: a client must not take other bytes for the whole file.
        let md5 = location.md5.as_deref().and_then(md5_bytes);
        let options = GetOptions { range, etag, md5 };
        let object = self.client().await?.get(&path, &options).await;
        let object = object.map_err(|error| missing(error, location))?;
        let total = object.metadata.content_range.map_or(object.metadata.length, |part| Some(part.total));
        compare(location, total, object.metadata.md5.filter(|_| is_whole))?;
        let location = location.clone();
        Ok(object.body.map_err(move |error| match error {
            manta::Error::Md5 => damaged(&location),
            error => error.into(),
        }))
    }
}

fn compare(location: &Location, length: Option<u64>, md5: Option<[u8; 16]>) -> Result<(), StorageError> {
    let expected = location.md5.as_deref().and_then(md5_bytes);
    let has_other_md5 = md5.is_some() && expected.is_some() && md5 != expected;
    if length != Some(location.size) || has_other_md5 {
        return Err(damaged(location));
    }
    Ok(())
}

fn missing(error: manta::Error, location: &Location) -> StorageError {
    if error.is_not_found() {
        return StorageError::NotFound(format!("{}/{}", location.uuid, location.asset));
    }
    match error.code() {
        // The object was replaced after it had been compared.
        Some(ErrorCode::PreconditionFailed) => damaged(location),
        _ => error.into(),
    }
}
