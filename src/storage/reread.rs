// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stored files that are read here: to be copied, or to be compared with what they should be.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use sha1::{Digest, Sha1};

use super::{Asset, LocalStorage, Location, StorageError, blocking};

/// Bytes read at a time.
const CHUNK: usize = 512 << 10;

/// Far more bytes than an icon has.
const LARGEST_ICON: u64 = 16 << 20;

impl LocalStorage {
    /// Opens a file after a look at all its bytes; `None` if they have another SHA-1. Where another size cannot come from
    /// 4.13.1, which notes one that is too small now and then, it says enough.
    pub(super) async fn open_verified(&self, location: &Location) -> Result<Option<File>, StorageError> {
        let file = self.open(location.uuid, location.asset, &location.sha1).await?;
        let location = location.clone();
        let is_from_here = location.sha256.is_some();
        let verified = blocking(move || {
            let size = file.metadata()?.len();
            let is_too_large = location.asset == Asset::Icon && size > LARGEST_ICON;
            if is_too_large || is_from_here && size != location.size {
                return Ok(None);
            }
            Ok((sha1_of(&file)? == location.sha1).then_some(file))
        });
        Ok(verified.await?)
    }
}

/// In lower-case hex.
pub(super) fn sha1_of(file: &File) -> io::Result<String> {
    let mut sha1 = Sha1::new();
    let mut position = 0;
    loop {
        let chunk = read(file, position)?;
        if chunk.is_empty() {
            return Ok(hex::encode(sha1.finalize()));
        }
        position += chunk.len() as u64;
        sha1.update(&chunk);
    }
}

/// The bytes of a file, read off the runtime's threads.
pub(super) fn chunks(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::try_unfold((Arc::new(file), 0), |(file, position)| async move {
        let reader = Arc::clone(&file);
        let chunk = blocking(move || read(&reader, position)).await?;
        let next = position + chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some((chunk, (file, next))))
    })
}

fn read(file: &File, position: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read_at(&mut buffer, position) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
