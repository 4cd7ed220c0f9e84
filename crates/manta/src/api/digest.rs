// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Number of bytes to digest at once: enough to make the cost of switching threads negligible.
const BATCH: usize = 1 << 20;
/// Maximum number of pieces in a batch, however small they are.
const PIECES: usize = 64;

/// Computes an MD5 on blocking threads, one batch at a time, while the next batch arrives. No thread waits for bytes.
pub(super) struct BackgroundMd5 {
    batch: Vec<Bytes>,
    length: usize,
    running: DigestState,
}

enum DigestState {
    Idle(Md5),
    Busy(JoinHandle<Md5>),
}

impl BackgroundMd5 {
    pub(super) fn new() -> BackgroundMd5 {
        BackgroundMd5 { batch: Vec::new(), length: 0, running: DigestState::Idle(Md5::new()) }
    }

    /// Adds bytes. Waits while the batch before the last one is still being digested.
    pub(super) async fn update(&mut self, bytes: Bytes) -> Result<(), JoinError> {
        self.length += bytes.len();
        self.batch.push(bytes);
        if self.length >= BATCH || self.batch.len() >= PIECES {
            self.start().await?;
        }
        Ok(())
    }

    /// Returns the digest of all bytes.
    pub(super) async fn finish(mut self) -> Result<[u8; 16], JoinError> {
        self.start().await?;
        Ok(self.idle().await?.finalize().into())
    }

    async fn start(&mut self) -> Result<(), JoinError> {
        let mut md5 = self.idle().await?;
        let batch = std::mem::take(&mut self.batch);
        self.length = 0;
        self.running = DigestState::Busy(spawn_blocking(move || {
            batch.iter().for_each(|bytes| md5.update(bytes));
            md5
        }));
        Ok(())
    }

    /// Waits for the running batch and returns the digest state.
    async fn idle(&mut self) -> Result<Md5, JoinError> {
        match std::mem::replace(&mut self.running, DigestState::Idle(Md5::new())) {
            DigestState::Idle(md5) => Ok(md5),
            DigestState::Busy(task) => task.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_digest_is_that_of_all_batches_in_their_order() {
        for (piece, count) in [(0, 0), (1, 0), (1, 1), (1, 1000), (100_000, 50), (BATCH, 3), (BATCH + 1, 2)] {
            let mut background = BackgroundMd5::new();
            let mut whole = Md5::new();
            for number in 0..count {
                let bytes = Bytes::from(vec![number as u8; piece]);
                whole.update(&bytes);
                background.update(bytes).await.unwrap();
            }
            let expected: [u8; 16] = whole.finalize().into();
            assert_eq!(background.finish().await.unwrap(), expected, "{count} times {piece}");
        }
    }
}
