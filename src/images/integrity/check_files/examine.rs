// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Examines one file: whether it is what its manifest says, and whether it can be decompressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bytes::{Buf, Bytes};
use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use futures_util::TryStreamExt;
use lzma_rust2::{LzmaReader, XzReader};
use tokio::sync::mpsc;

use crate::images::integrity::problem::{Problem, difference, other_size};
use crate::manifest::Compression;
use crate::storage::{Digests, Location, Part, RunningDigests, Storage, StorageError, StoredFile};

/// Chunks that wait to be examined.
const WAITING: usize = 4;

/// Memory limit for xz, in KiB. Its strongest preset takes 65 MiB.
const XZ_MEMORY: u32 = 1 << 20;

/// The first bytes of a file of `xz`.
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// What is wrong, for programs and for people; `None` if nothing is.
pub(super) type FoundProblem = Option<(Problem, String)>;

/// Checks whether the file exists and has the right size, as far as its storage knows.
pub(super) async fn check_size(storage: &Storage, location: &Location) -> Result<FoundProblem, StorageError> {
    storage.check(location).await?;
    Ok(None)
}

/// Reads the whole file. Calls `read` with the number of bytes of each chunk.
pub(super) async fn read(
    storage: &Storage,
    location: &Location,
    compression: Option<Compression>,
    read: &(dyn Fn(u64) + Sync),
) -> Result<FoundProblem, StorageError> {
    let file = storage.open(location, Part::Whole).await?;
    if let StoredFile::Local(file) = &file {
        let size = file.metadata().map_err(StorageError::from)?.len();
        if size != location.size {
            return Ok(Some(other_size(size, location)));
        }
    }
    let mut body = file.into_stream();
    let (sender, chunks) = mpsc::channel(WAITING);
    let looking = tokio::task::spawn_blocking(move || examine(Chunks::new(chunks), compression));
    let mut failure = None;
    loop {
        match body.try_next().await {
            Ok(Some(chunk)) => {
                read(chunk.len() as u64);
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let contents = looking.await.map_err(|stopped| StorageError::Io(io::Error::other(stopped)))?;
    match failure {
        Some(error) => Err(error),
        None => Ok(contents.difference(location)),
    }
}

/// The results of reading a file.
struct FileContents {
    digests: Digests,
    /// Why the file cannot be decompressed.
    undecodable: Option<String>,
}

impl FileContents {
    fn difference(self, expected: &Location) -> FoundProblem {
        difference(expected, &self.digests)
            .or_else(|| self.undecodable.map(|reason| (Problem::Undecodable, reason)))
    }
}

fn examine(mut chunks: Chunks, compression: Option<Compression>) -> FileContents {
    let undecodable = match compression {
        None | Some(Compression::None) => None,
        Some(compression) => {
            let decoded = decode(&mut chunks, compression);
            decoded.err().map(|error| format!("it cannot be decompressed with {compression}: {error}"))
        }
    };
    // The rest counts for the digests. Reading from memory does not fail.
    let _ = io::copy(&mut chunks, &mut io::sink());
    FileContents { digests: chunks.digests.finish(), undecodable }
}

/// Fails unless the platform's `gzip`, `bzip2` or `xz` gets everything out of the file: a compute node does the same.
fn decode(chunks: &mut Chunks, compression: Compression) -> io::Result<()> {
    let mut bytes = BufReader::new(chunks);
    match compression {
        Compression::Gzip => decode_members(&mut bytes, b"\x1f\x8b", |bytes| drain(GzDecoder::new(bytes))),
        Compression::Bzip2 => decode_members(&mut bytes, b"BZh", |bytes| drain(BzDecoder::new(bytes))),
        Compression::Xz => decode_xz(&mut bytes),
        Compression::None => Ok(()),
    }
}

/// Decompresses one member after the other. Bytes that follow and do not begin like a member are padding or garbage, which
/// `gzip` and `bzip2` ignore.
fn decode_members(
    bytes: &mut dyn BufRead,
    magic: &[u8],
    decode_one: impl Fn(&mut dyn BufRead) -> io::Result<()>,
) -> io::Result<()> {
    decode_one(bytes)?;
    loop {
        let begin = next_bytes(bytes, magic.len())?;
        if begin != magic {
            return Ok(());
        }
        decode_one(&mut Read::chain(Cursor::new(begin), &mut *bytes))?;
    }
}

/// `xz` also decompresses files of `lzma`.
fn decode_xz(bytes: &mut dyn BufRead) -> io::Result<()> {
    let begin = next_bytes(bytes, XZ_MAGIC.len())?;
    let is_xz = begin == XZ_MAGIC;
    let bytes = Read::chain(Cursor::new(begin), bytes);
    match is_xz {
        true => drain(XzReader::new_mem_limit(bytes, true, XZ_MEMORY)),
        false => drain(LzmaReader::new_mem_limit(bytes, XZ_MEMORY, None)?),
    }
}

/// Returns so many bytes, or fewer at the end.
fn next_bytes(bytes: &mut dyn BufRead, count: usize) -> io::Result<Vec<u8>> {
    let mut next = Vec::with_capacity(count);
    bytes.take(count as u64).read_to_end(&mut next)?;
    Ok(next)
}

fn drain(mut plain: impl Read) -> io::Result<()> {
    io::copy(&mut plain, &mut io::sink()).map(drop)
}

/// A reader of the chunks, which computes their digests.
struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
    digests: RunningDigests,
}

impl Chunks {
    fn new(chunks: mpsc::Receiver<Bytes>) -> Chunks {
        Chunks { chunks, current: Bytes::new(), digests: RunningDigests::default() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            self.digests.update(&chunk);
            self.current = chunk;
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use sha1::{Digest, Sha1};

    use super::*;

    /// The contents of these bytes if they arrive in pieces of this size.
    fn contents(bytes: &[u8], piece: usize, compression: Compression) -> FileContents {
        let (sender, chunks) = mpsc::channel(bytes.len() + 1);
        for piece in bytes.chunks(piece) {
            sender.try_send(Bytes::copy_from_slice(piece)).unwrap();
        }
        drop(sender);
        examine(Chunks::new(chunks), Some(compression))
    }

    fn compressed(compression: Compression, plain: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::None => plain.to_vec(),
        }
    }

    #[test]
    fn each_compression_is_tested_to_its_end() {
        let plain: Vec<u8> = (0..50_000_u32).map(|number| ((number * number) >> 7) as u8).collect();
        for compression in Compression::ALL.iter().copied() {
            let bytes = compressed(compression, &plain);
            let twice = [&bytes[..], &bytes[..]].concat();
            for good in [&bytes, &twice] {
                let contents = contents(good, 1000, compression);
                assert_eq!(
                    (contents.undecodable, contents.digests.size),
                    (None, good.len() as u64),
                    "{compression}"
                );
                assert_eq!(contents.digests.sha1, hex::encode(Sha1::digest(good)));
            }
            if compression == Compression::None {
                continue;
            }
            let mut flipped = bytes.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 0x55;
            let cut = bytes[..bytes.len() - 3].to_vec();
            for bad in [flipped, cut, plain.clone(), b"x".to_vec()] {
                let contents = contents(&bad, 777, compression);
                assert!(contents.undecodable.is_some(), "{compression}");
                assert_eq!(
                    (contents.digests.size, contents.digests.sha1),
                    (bad.len() as u64, hex::encode(Sha1::digest(&bad)))
                );
            }
        }
    }

    #[test]
    fn what_the_platform_unpacks_is_good() {
        let plain = b"a file in an image".repeat(1000);
        let then = |bytes: &[u8], more: &[u8]| [bytes, more].concat();
        for compression in [Compression::Gzip, Compression::Bzip2, Compression::Xz] {
            let bytes = compressed(compression, &plain);
            let cut = then(&bytes, &bytes[..bytes.len() / 2]);
            let is_xz = compression == Compression::Xz;
            // What follows the compressed data, and whether the file can be decompressed all the same.
            let cases = [
                (then(&bytes, &[0; 4]), true),
                (then(&bytes, &[0; 512]), true),
                (then(&bytes, &[0; 3]), !is_xz),
                (then(&bytes, b"garbage"), !is_xz),
                (then(&bytes, &bytes[..1]), !is_xz),
                (then(&then(&bytes, &[0; 8]), &bytes), true),
                (cut, false),
            ];
            for (number, (bytes, expected)) in cases.iter().enumerate() {
                for piece in [1, 1000] {
                    let contents = contents(bytes, piece, compression);
                    assert_eq!(
                        contents.undecodable.is_none(),
                        *expected,
                        "{compression} {number}: {:?}",
                        contents.undecodable
                    );
                    assert_eq!(
                        (contents.digests.size, contents.digests.sha1),
                        (bytes.len() as u64, hex::encode(Sha1::digest(bytes)))
                    );
                }
            }
        }
    }

    #[test]
    fn xz_unpacks_lzma_too() {
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        encoder.write_all(b"abc").unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(contents(&bytes, 5, Compression::Xz).undecodable, None);
        assert!(contents(&bytes[..bytes.len() - 2], 5, Compression::Xz).undecodable.is_some());
    }
}
