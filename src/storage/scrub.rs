// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads stored files in order to verify them: slowly, and without filling the system's caches.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::Instant;

use super::{Digests, Location, Part, RunningDigests, Storage, StorageError, StoredFile, blocking};
use crate::manifest::Stor;
use crate::platform::forget;

/// Number of bytes read at a time.
const CHUNK: usize = 256 << 10;

/// How much delay the throttle makes up for.
const SLACK: Duration = Duration::from_millis(100);

/// Limits the number of bytes per second.
#[derive(Debug)]
pub struct Throttle {
    rate: NonZeroU64,
    free: Instant,
}

impl Throttle {
    /// Allows so many bytes per second.
    pub fn new(rate: NonZeroU64) -> Throttle {
        Throttle { rate, free: Instant::now() }
    }

    /// Waits until the bytes before have had their time, and counts `bytes` more.
    pub async fn spend(&mut self, bytes: u64) {
        tokio::time::sleep_until(self.free).await;
        let now = Instant::now();
        let from = self.free.max(now.checked_sub(SLACK).unwrap_or(now));
        self.free = from + self.time(bytes);
    }

    /// How long so many bytes take.
    pub fn time(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64)
    }
}

impl Storage {
    /// Computes the digests of a stored file, as slowly as `throttle` says. Calls `read` with the number of bytes of each
    /// piece. A file on disk with the wrong length is not read.
    ///
    /// # Errors
    /// `NotFound`; `Damaged` if the storage itself reports other bytes; `Absent`; errors of reading.
    pub async fn digests_of(
        &self,
        location: &Location,
        throttle: &mut Throttle,
        read: impl Fn(u64),
    ) -> Result<Digests, StorageError> {
        if location.stor == Stor::Local {
            self.check(location).await?;
        }
        let mut digests = RunningDigests::default();
        match self.open(location, Part::Whole).await? {
            StoredFile::Local(mut file) => loop {
                let before = digests.size();
                throttle.spend(location.size.saturating_sub(before).min(CHUNK as u64)).await;
                (file, digests) = blocking(move || {
                    read_more(&file, &mut digests)?;
                    Ok((file, digests))
                })
                .await?;
                if digests.size() == before {
                    return Ok(digests.finish());
                }
                read(digests.size() - before);
            },
            StoredFile::Manta(mut body) => {
                while let Some(chunk) = body.try_next().await? {
                    let length = chunk.len() as u64;
                    throttle.spend(length).await;
                    digests = blocking(move || {
                        digests.update(&chunk);
                        Ok(digests)
                    })
                    .await?;
                    read(length);
                }
                Ok(digests.finish())
            }
        }
    }
}

/// Reads the next bytes of a file; none at its end.
fn read_more(file: &File, digests: &mut RunningDigests) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let position = digests.size();
    loop {
        match file.read_at(&mut buffer, position) {
            Ok(length) => {
                forget(file, position, length);
                digests.update(&buffer[..length]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use md5::Md5;
    use sha1::Sha1;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::manifest::{Stor, Uuid};
    use crate::storage::{Asset, LocalStorage};

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_a_little_delay_made_up_for() {
        let mut throttle = Throttle::new(NonZeroU64::new(1000).unwrap());
        let start = Instant::now();
        for _ in 0..100 {
            throttle.spend(100).await;
        }
        assert_eq!(start.elapsed(), Duration::from_millis(9900));
        // After a long pause the rate is still kept.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..100 {
            throttle.spend(100).await;
        }
        assert_eq!(start.elapsed(), Duration::from_millis(9800));
    }

    #[tokio::test]
    async fn a_file_on_disk_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::new(LocalStorage::new(directory.path().to_owned()), None);
        let uuid = Uuid::new_v4();
        let place = directory.path().join("images").join(&uuid.to_string()[..3]).join(uuid.to_string());
        std::fs::create_dir_all(&place).unwrap();
        let bytes: Vec<u8> = (0..CHUNK * 2 + 5).map(|number| (number >> 3) as u8).collect();
        std::fs::write(place.join("file0"), &bytes).unwrap();
        let mut location = Location {
            uuid,
            asset: Asset::File(0),
            stor: Stor::Local,
            sha1: "x".into(),
            size: bytes.len() as u64,
            md5: None,
            sha256: None,
            object: None,
        };
        let read = std::cell::Cell::new(0);
        let mut throttle = Throttle::new(NonZeroU64::MAX);
        let found = storage.digests_of(&location, &mut throttle, |more| read.set(read.get() + more)).await;
        let found = found.unwrap();
        assert_eq!((found.size, read.get()), (bytes.len() as u64, bytes.len() as u64));
        assert_eq!(found.sha1, hex::encode(Sha1::digest(&bytes)));
        assert_eq!(found.md5, STANDARD.encode(Md5::digest(&bytes)));
        assert_eq!(found.sha256, hex::encode(Sha256::digest(&bytes)));

        location.size += 1;
        let other = storage.digests_of(&location, &mut throttle, |_| {}).await;
        assert!(matches!(other, Err(StorageError::Damaged(_))));
        location.asset = Asset::Icon;
        let missing = storage.digests_of(&location, &mut throttle, |_| {}).await;
        assert!(matches!(missing, Err(StorageError::NotFound(_))));
    }
}
