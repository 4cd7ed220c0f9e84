// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use bytes::Bytes;
use futures_util::Stream;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha1::{Digest, Sha1};

const CHUNK: usize = 64 << 10;

/// A file that is determined by a seed and a size, so that its bytes need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TestFile {
    pub(crate) seed: u64,
    pub(crate) size: usize,
}

impl TestFile {
    /// Returns the bytes in pieces.
    pub(crate) fn chunks(self) -> impl Iterator<Item = Bytes> + Send {
        let mut random = StdRng::seed_from_u64(self.seed);
        (0..self.size).step_by(CHUNK).map(move |start| {
            let mut chunk = vec![0; CHUNK.min(self.size - start)];
            random.fill_bytes(&mut chunk);
            chunk.into()
        })
    }

    /// Returns the bytes as the body of a request.
    pub(crate) fn stream(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        futures_util::stream::iter(self.chunks().map(Ok))
    }

    /// Returns all bytes.
    pub(crate) fn bytes(self) -> Bytes {
        self.chunks().collect::<Vec<_>>().concat().into()
    }

    /// Returns the SHA-1 in lower-case hexadecimal.
    pub(crate) fn sha1(self) -> String {
        let mut digest = Sha1::new();
        self.chunks().for_each(|chunk| digest.update(&chunk));
        hex::encode(digest.finalize())
    }
}
