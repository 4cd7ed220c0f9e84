// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The bytes that are uploaded.

use std::io::{self, Write};
use std::sync::Arc;

use md5::{Digest, Md5};

/// Size of the files: 1 GiB.
pub(crate) const FILE_SIZE: u64 = 1 << 30;
/// So many random bytes are repeated: more than a processor's caches hold, and little beside the files.
const BLOCK: usize = 64 << 20;
/// Bytes per write.
const PIECE: usize = 1 << 20;

/// A body of [`FILE_SIZE`] bytes; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Payload(Arc<[u8]>);

impl Payload {
    /// New random bytes.
    pub(crate) fn random() -> Payload {
        Payload(rand::random_iter::<u64>().take(BLOCK / 8).flat_map(u64::to_le_bytes).collect())
    }

    /// All of it in order.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let blocks = FILE_SIZE as usize / BLOCK;
        (0..blocks).flat_map(|_| self.0.chunks(PIECE))
    }

    /// Writes all of it.
    pub(crate) fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        self.pieces().try_for_each(|piece| out.write_all(piece))
    }

    /// The MD5 of it, in hex.
    pub(crate) fn md5(&self) -> String {
        let mut digest = Md5::new();
        self.pieces().for_each(|piece| digest.update(piece));
        hex::encode(digest.finalize())
    }
}
