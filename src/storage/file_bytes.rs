// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads the bytes of a stored file on disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use sha1::{Digest, Sha1};

use super::blocking;
use super::digests::{Digests, RunningDigests};

/// Number of bytes read at a time.
const CHUNK: usize = 512 << 10;

/// The SHA-1 of a file, in lower-case hex.
pub(super) fn sha1_of(file: &File) -> io::Result<String> {
    let mut sha1 = Sha1::new();
    for_each_chunk(file, |chunk| sha1.update(chunk))?;
    Ok(hex::encode(sha1.finalize()))
}

/// Length and digests of a file.
pub(super) fn digests_of(file: &File) -> io::Result<Digests> {
    let mut digests = RunningDigests::default();
    for_each_chunk(file, |chunk| digests.update(chunk))?;
    Ok(digests.finish())
}

fn for_each_chunk(file: &File, mut work: impl FnMut(&[u8])) -> io::Result<()> {
    let mut position = 0;
    loop {
        let chunk = read(file, position)?;
        if chunk.is_empty() {
            return Ok(());
        }
        position += chunk.len() as u64;
        work(&chunk);
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
