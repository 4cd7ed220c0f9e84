// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Length and digests of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Length in bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha1: String,
    /// Base64, as in a `Content-MD5`.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
}

/// Computes the digests of bytes that arrive piece by piece.
#[derive(Debug, Clone, Default)]
pub struct RunningDigests {
    size: u64,
    sha1: Sha1,
    md5: Md5,
    sha256: Sha256,
}

impl RunningDigests {
    /// Adds the next bytes. Takes a few milliseconds per MiB.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha1.update(bytes);
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    /// The number of bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digests of all bytes.
    pub fn finish(self) -> Digests {
        Digests {
            size: self.size,
            sha1: hex::encode(self.sha1.finalize()),
            md5: STANDARD.encode(self.md5.finalize()),
            sha256: hex::encode(self.sha256.finalize()),
        }
    }
}
