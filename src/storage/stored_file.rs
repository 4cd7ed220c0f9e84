// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Opens stored files for reading, in any storage.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{Location, Storage, StorageError, damaged, file_bytes};
use crate::manifest::Stor;

/// Which bytes of a stored file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// No bytes. A file on disk is opened all the same; Manta is not asked.
    Nothing,
    /// All bytes.
    Whole,
    /// The bytes from the first number to before the second one; at least one byte.
    Range(Range<u64>),
}

/// A stored file that is being read.
pub enum StoredFile {
    /// An open file on disk. It has all bytes, whichever part is wanted.
    Local(File),
    /// The requested bytes. Manta has begun to send them. After a broken connection the stream continues by itself.
    Manta(BoxStream<'static, Result<Bytes, StorageError>>),
}

impl Storage {
    /// Opens a stored file. In Manta this begins to read it.
    ///
    /// # Errors
    /// `NotFound`; `Damaged` if Manta reports other bytes; `Absent`.
    pub async fn open(&self, location: &Location, part: Part) -> Result<StoredFile, StorageError> {
        match location.stor {
            Stor::Local => {
                let opened = self.local.open(location.uuid, location.asset, &location.sha1).await?;
                Ok(StoredFile::Local(opened))
            }
            Stor::Manta => Ok(StoredFile::Manta(match part {
                Part::Nothing => self.manta().map(|_| stream::empty().boxed())?,
                Part::Whole => self.manta()?.read(location, None).await?.boxed(),
                Part::Range(range) => self.manta()?.read(location, Some(range)).await?.boxed(),
            })),
        }
    }

    /// Opens a stored file after all its bytes have been verified. Manta is asked for their MD5, even if no bytes are wanted.
    ///
    /// # Errors
    /// The errors of [`Storage::open`], and `Damaged` if the bytes are wrong.
    pub async fn open_verified(&self, location: &Location, part: Part) -> Result<StoredFile, StorageError> {
        match location.stor {
            Stor::Local => {
                let opened = self.local.open_verified(location).await?;
                opened.map(StoredFile::Local).ok_or_else(|| damaged(location))
            }
            Stor::Manta => {
                if part == Part::Nothing {
                    self.check(location).await?;
                }
                self.open(location, part).await
            }
        }
    }

    /// Returns a text that stays the same for as long as nobody writes to a stored file, or puts another one in its place.
    ///
    /// # Errors
    /// Those of [`Storage::check`].
    pub async fn state(&self, location: &Location) -> Result<String, StorageError> {
        match location.stor {
            Stor::Local => {
                let known = self.checked(location).await?;
                let written = format!("{}.{:09}", known.mtime(), known.mtime_nsec());
                let changed = format!("{}.{:09}", known.ctime(), known.ctime_nsec());
                Ok(format!("{} {} {written} {changed}", known.dev(), known.ino()))
            }
            Stor::Manta => Ok(self.manta()?.etag(location).await?.unwrap_or_default()),
        }
    }

    /// The metadata of a local file that has the right size.
    async fn checked(&self, location: &Location) -> Result<Metadata, StorageError> {
        let file = self.local.open(location.uuid, location.asset, &location.sha1).await?;
        let known = file.metadata()?;
        if known.len() == location.size { Ok(known) } else { Err(damaged(location)) }
    }

    /// Checks that a stored file has the right length, and in Manta the right MD5, if Manta reports one.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Absent`.
    pub async fn check(&self, location: &Location) -> Result<(), StorageError> {
        match location.stor {
            Stor::Local => self.checked(location).await.map(drop),
            Stor::Manta => self.manta()?.check(location).await,
        }
    }
}

impl StoredFile {
    /// The bytes; for a file on disk always all of them.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, StorageError>> {
        match self {
            StoredFile::Local(file) => file_bytes::chunks(file).map_err(StorageError::from).boxed(),
            StoredFile::Manta(bytes) => bytes,
        }
    }
}
