// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the disk can do at best for small changes that must survive a crash.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::stage::blocking;

/// A file as long as a manifest.
const CONTENT: [u8; 1300] = [b'x'; 1300];

/// Files per second that `writers` at a time make durable below `directory`: written, synced, renamed, and the directory
/// synced.
pub(crate) async fn durable_files_per_second(
    directory: PathBuf,
    writers: usize,
    time: Duration,
) -> Result<f64, Failure> {
    blocking(move || {
        let directory = TempDir::new_in(directory)?;
        let began = Instant::now();
        let files = std::thread::scope(|scope| {
            let directory = directory.path();
            let write = |writer| scope.spawn(move || write_until(directory, writer, began + time));
            let threads: Vec<_> = (0..writers).map(write).collect();
            let files = threads.into_iter().map(|thread| thread.join().map_err(|_| "a writer failed")?);
            files.sum::<Result<u32, Failure>>()
        })?;
        Ok(f64::from(files) / began.elapsed().as_secs_f64())
    })
    .await
}

fn write_until(directory: &Path, writer: usize, end: Instant) -> Result<u32, Failure> {
    let (new, place) = (directory.join(format!("{writer}.new")), directory.join(writer.to_string()));
    let mut files = 0;
    while Instant::now() < end {
        let mut file = File::create(&new)?;
        file.write_all(&CONTENT)?;
        file.sync_all()?;
        fs::rename(&new, &place)?;
        File::open(directory)?.sync_all()?;
        files += 1;
    }
    Ok(files)
}
