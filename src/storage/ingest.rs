//! One pass over arriving bytes: written to disk and digested side by side.
//!
//! Bytes are gathered into batches. Each batch goes to four lanes: writing, SHA-1, MD5 and SHA-256. A lane is a
//! bounded channel whose batches are worked off on blocking threads, one at a time; between batches it holds no
//! thread, so a slow client costs memory only: at most `LANE_DEPTH + 2` batches, whatever the file's size.

use std::fs::File;
use std::io::{self, Write};
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

use super::{StorageError, blocking};

const BATCH: usize = 512 << 10;
const LANE_DEPTH: usize = 2;

/// Written bytes are pushed to the disk in the background at this distance, so that the final sync finds little.
const FLUSH_EVERY: u64 = 32 << 20;

/// What one pass over a file's bytes found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha1: String,
    /// Base64, as `Content-MD5` has it.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
}

/// Why a body could not be received; `E` is the error of the body itself.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError<E> {
    /// The body broke off or timed out.
    #[error("the body ended early")]
    Body(#[source] E),
    /// More bytes than allowed came.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// Most bytes allowed.
        limit: u64,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Writes `body` to `file` and returns its digests once every byte is durable. `expected` is the announced length,
/// if any: that much space is preallocated where the system can.
pub(super) async fn ingest<S, E>(
    file: File,
    expected: Option<u64>,
    limit: u64,
    body: S,
) -> Result<Digests, ReceiveError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let file = Arc::new(file);
    if let Some(length) = expected {
        let file = Arc::clone(&file);
        blocking(move || preallocate(&file, length)).await.map_err(StorageError::from)?;
    }
    let mut lanes = Lanes::start(Arc::clone(&file));
    let size = feed(&mut lanes, limit, body).await?;
    let digests = lanes.finish(size).await.map_err(StorageError::from)?;
    blocking(move || file.sync_all()).await.map_err(StorageError::from)?;
    Ok(digests)
}

async fn feed<S, E>(lanes: &mut Lanes, limit: u64, body: S) -> Result<u64, ReceiveError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut body = std::pin::pin!(body);
    let mut batch = BytesMut::with_capacity(BATCH);
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
                lanes.send(std::mem::replace(&mut batch, BytesMut::with_capacity(BATCH)).freeze()).await?;
            }
        }
    }
    if !batch.is_empty() {
        lanes.send(batch.freeze()).await?;
    }
    Ok(size)
}

struct Lanes {
    write: Lane<Writer>,
    sha1: Lane<Sha1>,
    md5: Lane<Md5>,
    sha256: Lane<Sha256>,
}

impl Lanes {
    fn start(file: Arc<File>) -> Lanes {
        Lanes {
            write: Lane::start(Writer { file, unflushed: 0, flush: None }, Writer::write),
            sha1: Lane::start(Sha1::new(), digest),
            md5: Lane::start(Md5::new(), digest),
            sha256: Lane::start(Sha256::new(), digest),
        }
    }

    async fn send(&mut self, batch: Bytes) -> Result<(), StorageError> {
        let sent = self.write.send(batch.clone()).await
            & self.md5.send(batch.clone()).await
            & self.sha1.send(batch.clone()).await
            & self.sha256.send(batch).await;
        if sent {
            return Ok(());
        }
        // Only the write lane can fail; its result says why.
        let reason = self.write.result().await.err();
        Err(reason.unwrap_or_else(|| io::Error::other("a digest was interrupted")).into())
    }

    async fn finish(mut self, size: u64) -> io::Result<Digests> {
        let writer = self.write.result().await?;
        if let Some(flush) = writer.flush {
            flush.await.map_err(io::Error::other)??;
        }
        Ok(Digests {
            size,
            sha1: hex::encode(self.sha1.result().await?.finalize()),
            md5: STANDARD.encode(self.md5.result().await?.finalize()),
            sha256: hex::encode(self.sha256.result().await?.finalize()),
        })
    }
}

fn digest<D: Digest>(state: &mut D, batch: &[u8]) -> io::Result<()> {
    state.update(batch);
    Ok(())
}

struct Writer {
    file: Arc<File>,
    unflushed: u64,
    flush: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        (&*self.file).write_all(batch)?;
        self.unflushed += batch.len() as u64;
        let idle = self.flush.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unflushed >= FLUSH_EVERY && idle {
            self.unflushed = 0;
            let file = Arc::clone(&self.file);
            self.flush = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }
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

    /// False when the lane has failed.
    async fn send(&self, batch: Bytes) -> bool {
        match &self.sender {
            Some(sender) => sender.send(batch).await.is_ok(),
            None => false,
        }
    }

    /// Ends the lane and waits for what is left in it.
    async fn result(&mut self) -> io::Result<T> {
        self.sender = None;
        (&mut self.task).await.map_err(io::Error::other)?
    }
}

/// Reserves space, so that a full disk is found at the first byte rather than at the last.
#[cfg(target_os = "linux")]
fn preallocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

/// ZFS, SmartOS's file system, allocates on write: there is nothing to reserve.
#[cfg(not(target_os = "linux"))]
fn preallocate(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}
