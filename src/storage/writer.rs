// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Writes the bytes of one file to disk.
//!
//! A file may be many times larger than the system's page cache, and is usually read much later and elsewhere. Where the system
//! can, bytes leave the page cache as soon as they are on disk. So an upload neither drives out files that are being downloaded
//! nor takes fresh memory for every byte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::platform::{FLUSH_EVERY, write_uncached};

/// Writes a file from its beginning.
pub(super) struct Writer {
    file: Arc<File>,
    position: u64,
    /// Whether the system accepts writes that do not stay in the page cache.
    uncached: bool,
    /// After how many bytes the file is flushed early; `None` where the system does so by itself.
    flush_every: Option<u64>,
    unflushed: u64,
    flush: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    pub(super) fn new(file: Arc<File>) -> Writer {
        Writer { file, position: 0, uncached: true, flush_every: FLUSH_EVERY, unflushed: 0, flush: None }
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
        if self.flush_every.is_some_and(|distance| self.unflushed >= distance) && idle {
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(uncached: bool, flush_every: Option<u64>) -> Vec<u8> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut writer = Writer { uncached, flush_every, ..Writer::new(Arc::clone(&file)) };
        let pieces = [vec![1; 3 << 20], vec![2; 1], vec![], vec![3; 40 << 20]];
        for piece in &pieces {
            writer.write(piece).unwrap();
        }
        assert!(uncached || writer.flush.is_some() == flush_every.is_some());
        writer.finish().await.unwrap();
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == pieces.concat(), "uncached: {uncached}");
        bytes
    }

    #[tokio::test]
    async fn the_file_is_what_was_written_with_and_without_the_page_cache() {
        for flush_every in [Some(32 << 20), None] {
            assert!(written(true, flush_every).await == written(false, flush_every).await);
        }
    }
}
