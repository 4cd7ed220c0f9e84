// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Layers as they are stored: verified before and after decompression, and never compressed with zstd, which 4.13.1's
//! manifests do not have.

use std::io::{BufRead, BufReader, Error, Read, Result as IoResult, Write};
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use lzma_rust2::XzReader;
use sha2::Sha256;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::connection::Registry;
use super::digest::Digest;
use super::error::RegistryError;
use super::manifest::Descriptor;
use crate::contents::ZstdReader;
use crate::manifest::Compression;

/// The largest layer in bytes, as it is sent and decompressed. The first is the limit of all files.
const MAX_SIZE: u64 = 20 << 30;
const MAX_UNCOMPRESSED: u64 = 1 << 40;

/// The most memory that an xz stream may ask for, in KiB.
const XZ_MEMORY: u32 = 64 << 10;

/// The bytes that tell how a layer is compressed.
const MAGIC: usize = 6;

/// How many chunks wait for the thread that decompresses, and for the reader of what it compresses.
const QUEUE: usize = 8;
const CHUNK: usize = 64 << 10;

/// A layer that is being received.
pub struct Layer {
    /// How the stream is compressed. That is told by the bytes: media types are wrong too often.
    pub compression: Compression,
    /// The length in bytes of what the registry sends, if it announces that.
    pub length: Option<u64>,
    /// The bytes to store. They end with an error if a digest differs: that of the blob, or that of its uncompressed
    /// bytes.
    pub bytes: BoxStream<'static, Result<Bytes, RegistryError>>,
    /// The digest of the uncompressed bytes, once the stream has ended without an error.
    pub uncompressed: Arc<OnceLock<Digest>>,
}

impl Registry {
    /// Starts to receive a layer. Its uncompressed bytes must have the digest `diff_id`, if that is known.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub async fn layer(
        &self,
        descriptor: &Descriptor,
        diff_id: Option<Digest>,
    ) -> Result<Layer, RegistryError> {
        let mut blob = self.blob(descriptor, MAX_SIZE).await?;
        let mut beginning = Vec::new();
        let mut first = Vec::new();
        while first.len() < MAGIC
            && let Some(chunk) = blob.bytes.try_next().await?
        {
            first.extend_from_slice(&chunk[..chunk.len().min(MAGIC)]);
            beginning.push(Ok(chunk));
        }
        let bytes = futures_util::stream::iter(beginning).chain(blob.bytes).boxed();
        let what = format!("layer {}", descriptor.digest);
        let format = Format::of(&first);
        let uncompressed = Arc::new(OnceLock::new());
        let check = Check { what, diff_id, uncompressed: Arc::clone(&uncompressed) };
        let bytes = match format {
            Format::Zstd => recompressed(bytes, check),
            Format::Stored(Compression::None) => plain(bytes, check, descriptor.digest),
            Format::Stored(compression) => watched(bytes, check, compression),
        };
        Ok(Layer { compression: format.stored(), length: blob.length, bytes, uncompressed })
    }
}

/// How the bytes of a registry are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// They are stored as they are.
    Stored(Compression),
    /// They are compressed anew, with gzip.
    Zstd,
}

impl Format {
    fn of(beginning: &[u8]) -> Format {
        // A skippable frame may be the first one of a zstd stream.
        let is_skippable = |bytes: &[u8]| matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        match beginning {
            [0x1f, 0x8b, ..] => Format::Stored(Compression::Gzip),
            [b'B', b'Z', b'h', ..] => Format::Stored(Compression::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Stored(Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
            bytes if is_skippable(bytes) => Format::Zstd,
            _ => Format::Stored(Compression::None),
        }
    }

    fn stored(self) -> Compression {
        match self {
            Format::Stored(compression) => compression,
            Format::Zstd => Compression::Gzip,
        }
    }
}

/// The check of the uncompressed bytes.
struct Check {
    what: String,
    diff_id: Option<Digest>,
    uncompressed: Arc<OnceLock<Digest>>,
}

impl Check {
    fn end(&self, actual: Digest) -> Result<(), RegistryError> {
        if let Some(expected) = self.diff_id.filter(|expected| *expected != actual) {
            let what = format!("{}, uncompressed,", self.what);
            return Err(RegistryError::OtherDigest { what, expected, actual });
        }
        let _ = self.uncompressed.set(actual);
        Ok(())
    }

    /// Waits for the thread that decompresses.
    async fn join(&self, thread: JoinHandle<IoResult<Digest>>) -> Result<(), RegistryError> {
        let digest = thread.await.unwrap_or_else(|stopped| Err(Error::other(stopped)));
        let damaged =
            |error: Error| RegistryError::Damaged { what: self.what.clone(), reason: error.to_string() };
        self.end(digest.map_err(damaged)?)
    }
}

type Chunks = BoxStream<'static, Result<Bytes, RegistryError>>;

/// Bytes that are not compressed have one digest, which is checked already.
fn plain(bytes: Chunks, check: Check, digest: Digest) -> Chunks {
    try_unfold((bytes, check), move |(mut bytes, check)| async move {
        match bytes.try_next().await? {
            Some(chunk) => Ok(Some((chunk, (bytes, check)))),
            None => check.end(digest).map(|()| None),
        }
    })
    .boxed()
}

/// Passes the bytes on, and decompresses them on a thread to check them.
fn watched(bytes: Chunks, check: Check, compression: Compression) -> Chunks {
    let (queue, received) = channel(QUEUE);
    let thread = spawn_blocking(move || digest_of(decoder(compression, ChannelReader::new(received))));
    let state = (bytes, check, Some((queue, thread)));
    try_unfold(state, |(mut bytes, check, mut work)| async move {
        let next = bytes.try_next().await?;
        match (next, work.take()) {
            (Some(chunk), Some((queue, thread))) => {
                // If the thread has ended, it has found an error, which is told at the end.
                let _ = queue.send(chunk.clone()).await;
                Ok(Some((chunk, (bytes, check, Some((queue, thread))))))
            }
            (None, Some((queue, thread))) => {
                drop(queue);
                check.join(thread).await?;
                Ok(None)
            }
            (_, None) => Ok(None),
        }
    })
    .boxed()
}

/// Decompresses the bytes and compresses them with gzip, on a thread.
fn recompressed(bytes: Chunks, check: Check) -> Chunks {
    let (queue, received) = channel(QUEUE);
    let (output, compressed) = channel(QUEUE);
    let thread = spawn_blocking(move || gzipped(ChannelReader::new(received), output));
    let feed = Box::pin(feed(bytes, queue));
    try_unfold(Recompressed { feed: Some(feed), compressed, thread, check }, |mut state| async move {
        match state.next().await? {
            Some(chunk) => Ok(Some((chunk, state))),
            None => state.check.join(state.thread).await.map(|()| None),
        }
    })
    .boxed()
}

type Feed = std::pin::Pin<Box<dyn Future<Output = Result<(), RegistryError>> + Send>>;

struct Recompressed {
    /// What passes the bytes on to the thread, until it has passed on all.
    feed: Option<Feed>,
    compressed: Receiver<Bytes>,
    thread: JoinHandle<IoResult<Digest>>,
    check: Check,
}

impl Recompressed {
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while let Some(feed) = &mut self.feed {
            tokio::select! {
                biased;
                Some(chunk) = self.compressed.recv() => return Ok(Some(chunk)),
                fed = feed => {
                    self.feed = None;
                    fed?;
                }
            }
        }
        Ok(self.compressed.recv().await)
    }
}

/// Sends all bytes to the thread. The blob is read to its end even if the thread has ended, because its own digest tells
/// more about what is wrong.
async fn feed(mut bytes: Chunks, queue: Sender<Bytes>) -> Result<(), RegistryError> {
    while let Some(chunk) = bytes.try_next().await? {
        let _ = queue.send(chunk).await;
    }
    Ok(())
}

fn decoder(compression: Compression, source: ChannelReader) -> Box<dyn Read> {
    match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(source)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(source, true, XZ_MEMORY)),
        Compression::None => Box::new(source),
    }
}

/// Returns the digest of all bytes.
fn digest_of(source: impl Read) -> IoResult<Digest> {
    copy_digested(source, &mut std::io::sink())
}

fn gzipped(source: ChannelReader, output: Sender<Bytes>) -> IoResult<Digest> {
    let decoder = ZstdReader::new(BufReader::with_capacity(CHUNK, source));
    let mut encoder =
        GzEncoder::new(ChannelWriter { output, buffer: Vec::new() }, flate2::Compression::default());
    let digest = copy_digested(decoder, &mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(digest)
}

/// Copies all bytes, and returns their digest.
fn copy_digested(mut source: impl Read, target: &mut impl Write) -> IoResult<Digest> {
    let mut hasher = Sha256::default();
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest::finish(hasher));
        }
        total += read as u64;
        if total > MAX_UNCOMPRESSED {
            return Err(Error::other(format!("it has more than {MAX_UNCOMPRESSED} bytes")));
        }
        sha2::Digest::update(&mut hasher, &buffer[..read]);
        target.write_all(&buffer[..read])?;
    }
}

/// Reads what is sent to a channel. The end of the channel is the end of the bytes: what follows a broken download is an
/// error of the stream anyway.
struct ChannelReader {
    received: Receiver<Bytes>,
    chunk: Bytes,
}

impl ChannelReader {
    fn new(received: Receiver<Bytes>) -> ChannelReader {
        ChannelReader { received, chunk: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for ChannelReader {
    fn fill_buf(&mut self) -> IoResult<&[u8]> {
        while self.chunk.is_empty() {
            match self.received.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => break,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, length: usize) {
        self.chunk.advance(length);
    }
}

/// Sends what is written to a channel.
struct ChannelWriter {
    output: Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        if chunk.is_empty() {
            return Ok(());
        }
        self.output.blocking_send(chunk).map_err(|_| Error::other("nobody reads it any more"))
    }
}
