//! The bytes of one file on their way to the disk.
//!
//! A file may be many times larger than what the system can cache, and is usually read much later and elsewhere.
//! Where the system can, bytes leave the page cache as soon as they are on disk, so that an upload neither drives
//! out the files that are being downloaded nor takes fresh memory for every byte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::task::JoinHandle;

/// Where the system does not start writing by itself, it is told to at this distance in bytes, so that the final
/// sync finds little.
const FLUSH_EVERY: u64 = 32 << 20;

/// Writes a file from its beginning.
pub(super) struct Writer {
    file: Arc<File>,
    position: u64,
    /// Whether the system takes writes that do not stay in the page cache.
    uncached: bool,
    unflushed: u64,
    flush: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    pub(super) fn new(file: Arc<File>) -> Writer {
        Writer { file, position: 0, uncached: cfg!(target_os = "linux"), unflushed: 0, flush: None }
    }

    /// Writes all of `batch`. Blocks.
    pub(super) fn write(&mut self, mut batch: &[u8]) -> io::Result<()> {
        while self.uncached && !batch.is_empty() {
            match write_uncached(&self.file, batch, self.position)? {
                Some(written) => {
                    self.position += written as u64;
                    batch = &batch[written..];
                }
                None => self.uncached = false,
            }
        }
        self.file.write_all_at(batch, self.position)?;
        self.position += batch.len() as u64;
        self.unflushed += batch.len() as u64;
        let idle = self.flush.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unflushed >= FLUSH_EVERY && idle {
            self.unflushed = 0;
            let file = Arc::clone(&self.file);
            self.flush = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }

    /// Waits for the last early flush.
    pub(super) async fn finish(self) -> io::Result<()> {
        match self.flush {
            Some(flush) => flush.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

/// Writes some bytes that leave the page cache once they are on disk, where the system begins to put them at once.
/// `None` when it cannot do that.
#[cfg(target_os = "linux")]
fn write_uncached(file: &File, batch: &[u8], position: u64) -> io::Result<Option<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    /// `RWF_DONTCACHE`, since Linux 6.14.
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
    match pwritev2(file, &[io::IoSlice::new(batch)], position, DONTCACHE) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(Some(written)),
        Err(Errno::INTR) => Ok(Some(0)),
        // An older kernel, or a file system that has not learned it.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Only Linux has such writes.
#[cfg(not(target_os = "linux"))]
fn write_uncached(_file: &File, _batch: &[u8], _position: u64) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Reserves space, so that a full disk is found at the first byte rather than at the last.
#[cfg(target_os = "linux")]
pub(super) fn preallocate(file: &File, length: u64) -> io::Result<()> {
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
pub(super) fn preallocate(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(uncached: bool) -> Vec<u8> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut writer = Writer { uncached, ..Writer::new(Arc::clone(&file)) };
        let pieces = [vec![1; 3 << 20], vec![2; 1], vec![], vec![3; 40 << 20]];
        for piece in &pieces {
            writer.write(piece).unwrap();
        }
        writer.finish().await.unwrap();
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == pieces.concat(), "uncached: {uncached}");
        bytes
    }

    #[tokio::test]
    async fn the_file_is_what_was_written_with_and_without_the_page_cache() {
        assert!(written(true).await == written(false).await);
    }
}
