// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A file body that is a window moving over a mapping of the file.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use memmap2::{Mmap, MmapOptions};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

use super::regions::Region;
use crate::server::connection::state::ConnectionState;

/// The bytes of a frame.
const WINDOW: u64 = 1 << 20;
/// The distance in bytes between the bytes that are probed for being in memory.
const PROBE_STEP: u64 = 256 << 10;
/// The bytes that are read at once while a window is loaded into memory.
const LOAD_BUFFER: usize = 256 << 10;

/// The mapping, registered with the connection for as long as it exists.
struct Mapping {
    map: Mmap,
    file: Arc<File>,
    connection: Weak<ConnectionState>,
}

impl Mapping {
    fn new(file: &File, range: &Range<u64>, connection: &Arc<ConnectionState>) -> io::Result<Mapping> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let file = Arc::new(file.try_clone()?);
        // SAFETY: the memory is only read, and only while the file's bytes do not change: a published file is never
        // written, and it is removed by unlinking, which keeps the bytes of open files. Reading beyond the end of a
        // file that was truncated by hand would raise SIGBUS, but nothing here reads the memory: the connection sends
        // these slices with sendfile(2), which reports the missing bytes as an error.
        let map = unsafe { MmapOptions::new().offset(range.start).len(length).map(&*file)? };
        connection.regions.enter(Region {
            address: map.as_ptr() as usize,
            length,
            file: Arc::clone(&file),
            offset: range.start,
        });
        Ok(Mapping { map, file, connection: Arc::downgrade(connection) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.regions.remove(self.map.as_ptr() as usize);
        }
    }
}

/// A part of the mapping. It keeps the whole mapping alive.
struct Window {
    mapping: Arc<Mapping>,
    part: Range<usize>,
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        &self.mapping.map[self.part.clone()]
    }
}

/// Returns windows of a mapping, each only when its bytes are in memory, because `sendfile` waits for the disk on the
/// thread that calls it.
pub(super) struct MappedBody {
    mapping: Arc<Mapping>,
    /// The offset in the file at which the mapping begins.
    start: u64,
    rest: Range<u64>,
    loading: Option<JoinHandle<io::Result<()>>>,
}

impl MappedBody {
    /// Returns `None` if the file cannot be mapped.
    pub(super) fn new(
        file: &File,
        range: Range<u64>,
        connection: &Arc<ConnectionState>,
    ) -> Option<MappedBody> {
        let mapping = Arc::new(Mapping::new(file, &range, connection).ok()?);
        Some(MappedBody { mapping, start: range.start, rest: range, loading: None })
    }

    fn window(&mut self, range: &Range<u64>) -> io::Result<Bytes> {
        let index = |at: u64| usize::try_from(at - self.start).map_err(io::Error::other);
        let part = index(range.start)?..index(range.end)?;
        self.rest.start = range.end;
        Ok(Bytes::from_owner(Window { mapping: Arc::clone(&self.mapping), part }))
    }
}

impl Body for MappedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = self.rest.start..self.rest.end.min(self.rest.start + WINDOW);
        if next.is_empty() {
            return Poll::Ready(None);
        }
        if self.loading.is_none() && !is_in_memory(&self.mapping.file, &next) {
            let (file, range) = (Arc::clone(&self.mapping.file), next.clone());
            self.loading = Some(spawn_blocking(move || load(&file, range)));
        }
        if let Some(loading) = self.loading.as_mut() {
            let loaded = ready!(Pin::new(loading).poll(cx)).map_err(io::Error::other).flatten();
            self.loading = None;
            if let Err(e) = loaded {
                self.rest.start = self.rest.end;
                return Poll::Ready(Some(Err(e)));
            }
        }
        Poll::Ready(Some(self.window(&next).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end - self.rest.start)
    }
}

/// Returns whether a sample of a range can be read without waiting. A missing page between the samples costs one short
/// wait for the disk. Checking every page would cost more than that on every download.
fn is_in_memory(file: &File, range: &Range<u64>) -> bool {
    let step = usize::try_from(PROBE_STEP).unwrap_or(usize::MAX);
    range.clone().step_by(step).chain([range.end - 1]).all(|at| {
        let mut byte = [0];
        let read = preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
        // Some file systems cannot answer this. Other errors are reported by the read that follows.
        !matches!(read, Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL) | Ok(0))
    })
}

/// Reads a range into the page cache.
fn load(file: &File, range: Range<u64>) -> io::Result<()> {
    let mut scratch = vec![0; LOAD_BUFFER];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).map_or(LOAD_BUFFER, |left| left.min(LOAD_BUFFER));
        file.read_exact_at(&mut scratch[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
