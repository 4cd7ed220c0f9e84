//! Stored files that are read here: to be copied, or to be compared with what they should be.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use sha1::{Digest, Sha1};

use super::{Asset, LocalStorage, StorageError, blocking};
use crate::manifest::Uuid;

/// Bytes read at a time.
const CHUNK: usize = 512 << 10;

impl LocalStorage {
    /// Opens a file of `uuid` after a look at all its bytes; `None` if they have another SHA-1.
    pub(super) async fn open_verified(
        &self,
        uuid: Uuid,
        asset: Asset,
        sha1: &str,
    ) -> Result<Option<File>, StorageError> {
        let file = self.open(uuid, asset, sha1).await?;
        let expected = sha1.to_owned();
        Ok(blocking(move || Ok((sha1_of(&file)? == expected).then_some(file))).await?)
    }
}

/// In lower-case hex.
fn sha1_of(file: &File) -> io::Result<String> {
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
