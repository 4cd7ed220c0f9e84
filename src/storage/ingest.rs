// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stores arriving bytes and computes their digests in one pass.
//!
//! Bytes are gathered into batches. Each batch goes to its sink, and to one lane for each digest: SHA-1, MD5 and SHA-256.
//! Writing to disk is a lane, too. A lane is a bounded channel, whose batches are processed on blocking threads, one at a time.
//! Between batches a lane holds no thread, so a slow client costs memory only: at most `LANE_DEPTH + 2` batches, however large
//! the file is.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::writer::Writer;
use super::{Digests, StorageError, blocking};
use crate::platform::preallocate;

const BATCH: usize = 512 << 10;
const LANE_DEPTH: usize = 2;

/// What is known about bytes before they arrive.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Their number, if it was announced.
    pub length: Option<u64>,
    /// Most bytes that are accepted.
    pub limit: u64,
    /// Their digests, if these are known. Then only the SHA-256 is computed, and the other digests are taken from here. The
    /// caller compares the SHA-256; if it is right, the others are right as well.
    pub digests: Option<Digests>,
}

/// Why a body could not be received; `E` is the error of the body itself.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError<E> {
    /// The body broke off or timed out.
    #[error("the body ended early")]
    Body(#[source] E),
    /// More bytes arrived than are allowed.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// Most bytes allowed.
        limit: u64,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Where the bytes are stored.
pub(super) trait Sink {
    /// Takes the next bytes. They may not be stored yet when this returns.
    async fn send(&mut self, batch: Bytes) -> Result<(), StorageError>;

    /// Waits until all bytes are stored.
    async fn finish(&mut self) -> Result<(), StorageError>;
}

/// Stores `body` in `sink`, and returns its digests when all bytes are stored.
pub(super) async fn ingest<S, E>(
    sink: &mut impl Sink,
    Expected { limit, digests, .. }: Expected,
    body: S,
) -> Result<Digests, ReceiveError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut lanes = Lanes::start(sink, digests);
    let size = feed(&mut lanes, limit, body).await?;
    Ok(lanes.finish(size).await?)
}

async fn feed<S, E>(lanes: &mut Lanes<'_, impl Sink>, limit: u64, body: S) -> Result<u64, ReceiveError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut body = std::pin::pin!(body);
    let mut batch = lanes.buffer();
    let mut size = 0u64;
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(ReceiveError::Body)?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(ReceiveError::TooLarge { limit });
        }
        while !chunk.is_empty() {
            let part = chunk.split_to(chunk.len().min(BATCH - batch.len()));
            batch.extend_from_slice(&part);
            if batch.len() == BATCH {
                lanes.send(batch.freeze()).await?;
                batch = lanes.buffer();
            }
        }
    }
    if !batch.is_empty() {
        lanes.send(batch.freeze()).await?;
    }
    Ok(size)
}

struct Lanes<'a, K> {
    /// Batches that may still be in a lane, the oldest first.
    sent: VecDeque<Bytes>,
    sink: &'a mut K,
    sha256: Lane<Sha256>,
    others: OtherDigests,
}

/// The digests other than SHA-256.
enum OtherDigests {
    Computed { sha1: Lane<Sha1>, md5: Lane<Md5> },
    Known(Digests),
}

impl<K: Sink> Lanes<'_, K> {
    fn start(sink: &mut K, known: Option<Digests>) -> Lanes<'_, K> {
        let others = match known {
            None => OtherDigests::Computed {
                sha1: Lane::start(Sha1::new(), digest),
                md5: Lane::start(Md5::new(), digest),
            },
            Some(digests) => OtherDigests::Known(digests),
        };
        Lanes { sent: VecDeque::new(), sink, sha256: Lane::start(Sha256::new(), digest), others }
    }

    /// Returns an empty buffer for the next batch. It reuses the oldest batch's buffer if all lanes are done with it, because
    /// fresh memory costs the system a page fault and a clearing for every page.
    fn buffer(&mut self) -> BytesMut {
        let done = self.sent.front().is_some_and(Bytes::is_unique);
        let oldest = if done { self.sent.pop_front() } else { None };
        match oldest.map(Bytes::try_into_mut) {
            Some(Ok(mut buffer)) => {
                buffer.clear();
                buffer
            }
            _ => BytesMut::with_capacity(BATCH),
        }
    }

    async fn send(&mut self, batch: Bytes) -> Result<(), StorageError> {
        self.sent.push_back(batch.clone());
        self.sink.send(batch.clone()).await?;
        let mut sent = true;
        if let OtherDigests::Computed { sha1, md5 } = &self.others {
            sent = md5.send(batch.clone()).await & sha1.send(batch.clone()).await;
        }
        sent &= self.sha256.send(batch).await;
        if sent { Ok(()) } else { Err(io::Error::other("a digest was interrupted").into()) }
    }

    async fn finish(self, size: u64) -> Result<Digests, StorageError> {
        let Lanes { sink, mut sha256, others, .. } = self;
        sink.finish().await?;
        let (sha1, md5) = match others {
            OtherDigests::Computed { mut sha1, mut md5 } => (
                hex::encode(sha1.result().await?.finalize()),
                STANDARD.encode(md5.result().await?.finalize()),
            ),
            OtherDigests::Known(digests) => (digests.sha1, digests.md5),
        };
        Ok(Digests { size, sha1, md5, sha256: hex::encode(sha256.result().await?.finalize()) })
    }
}

/// Writes a file on disk, which is durable after `finish`.
pub(super) struct FileSink {
    file: Arc<File>,
    lane: Lane<Writer>,
}

impl FileSink {
    /// Starts with an empty file. Space for the `expected` length, if any, is preallocated where the system can.
    pub(super) async fn new(file: File, expected: Option<u64>) -> Result<FileSink, StorageError> {
        let file = Arc::new(file);
        if let Some(length) = expected {
            let file = Arc::clone(&file);
            blocking(move || preallocate(&file, length)).await?;
        }
        let lane = Lane::start(Writer::new(Arc::clone(&file)), Writer::write);
        Ok(FileSink { file, lane })
    }
}

impl Sink for FileSink {
    async fn send(&mut self, batch: Bytes) -> Result<(), StorageError> {
        if self.lane.send(batch).await {
            return Ok(());
        }
        let reason = self.lane.result().await.err();
        Err(reason.unwrap_or_else(|| io::Error::other("the writer has ended")).into())
    }

    async fn finish(&mut self) -> Result<(), StorageError> {
        self.lane.result().await?.finish().await?;
        let file = Arc::clone(&self.file);
        Ok(blocking(move || file.sync_all()).await?)
    }
}

fn digest<D: Digest>(state: &mut D, batch: &[u8]) -> io::Result<()> {
    state.update(batch);
    Ok(())
}

/// A state that batches are applied to, in order.
struct Lane<T> {
    sender: Option<mpsc::Sender<Bytes>>,
    task: JoinHandle<io::Result<T>>,
}

impl<T: Send + 'static> Lane<T> {
    fn start(mut state: T, step: fn(&mut T, &[u8]) -> io::Result<()>) -> Lane<T> {
        let (sender, mut batches) = mpsc::channel::<Bytes>(LANE_DEPTH);
        let task = tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                state = blocking(move || step(&mut state, &batch).map(|()| state)).await?;
            }
            Ok(state)
        });
        Lane { sender: Some(sender), task }
    }

    /// Returns false if the lane has failed.
    async fn send(&self, batch: Bytes) -> bool {
        match &self.sender {
            Some(sender) => sender.send(batch).await.is_ok(),
            None => false,
        }
    }

    /// Ends the lane, after it has processed all batches, and returns its state.
    async fn result(&mut self) -> io::Result<T> {
        self.sender = None;
        (&mut self.task).await.map_err(io::Error::other)?
    }
}
