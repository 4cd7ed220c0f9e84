// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! A stored file to be read, whichever storage has it.

use std::fs::File;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{Location, Storage, StorageError, damaged, file_bytes};
use crate::manifest::Stor;

/// Which bytes of a stored file are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// None of them. A file on disk is opened all the same; Manta is not asked.
    Nothing,
    /// All of them.
    Whole,
    /// Those from the first number to before the second one. There is at least one.
    Range(Range<u64>),
}

/// A stored file that is being read.
pub enum StoredFile {
    /// An open file on disk: all of it, whichever part is wanted.
    Local(File),
    /// The bytes that were asked for. Manta has begun to send them. Goes on by itself after a broken connection.
    Manta(BoxStream<'static, Result<Bytes, StorageError>>),
}

impl Storage {
    /// Opens a stored file. With Manta this begins to read it.
    ///
    /// # Errors
    /// `NotFound`; `Damaged` if Manta says that it has other bytes; `Absent`.
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

    /// Opens a stored file after a look at all its bytes. Manta is asked for their MD5, even if no bytes are wanted.
    ///
    /// # Errors
    /// Those of [`Storage::open`], and `Damaged` if the bytes are others.
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

    /// Checks that the storage has as many bytes as the manifest says, and, where Manta tells it, that they have the same MD5.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Absent`.
    pub async fn check(&self, location: &Location) -> Result<(), StorageError> {
        match location.stor {
            Stor::Local => {
                let file = self.local.open(location.uuid, location.asset, &location.sha1).await?;
                if file.metadata()?.len() == location.size { Ok(()) } else { Err(damaged(location)) }
            }
            Stor::Manta => self.manta()?.check(location).await,
        }
    }
}

impl StoredFile {
    /// The bytes: of a file on disk, all of them.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, StorageError>> {
        match self {
            StoredFile::Local(file) => file_bytes::chunks(file).map_err(StorageError::from).boxed(),
            StoredFile::Manta(bytes) => bytes,
        }
    }
}
