// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the bytes of an image's file are: compressed or not, a ZFS stream or something else, whole or damaged, and what follows them.
//!
//! [`examine`] reads everything once, and holds a few buffers whatever the size of the file. Whether compressed bytes are damaged is
//! what the platform's `gzip`, `bzip2` and `xz` would say, because compute nodes unpack files with them.

mod data;
mod decode;
mod encoding;
mod input;
mod zstd;

use std::io::{self, Read};

pub use data::{Data, DataKind, Stream};
pub use decode::{Following, FollowingKind};
pub use encoding::Encoding;
pub use zstd::ZstdReader;

use data::Probe;
use input::Input;

/// What the bytes of a file are.
#[derive(Debug)]
pub struct Contents {
    /// How they are compressed.
    pub encoding: Encoding,
    /// The number of bytes.
    pub size: u64,
    /// Why they cannot be decompressed; `None` if they can.
    pub undecodable: Option<String>,
    /// Bytes after the compressed ones, which the platform's tools ignore.
    pub following: Option<Following>,
    /// What they are when decompressed, as far as that worked.
    pub data: Data,
}

impl Contents {
    /// Whether the platform's tools or `zfs receive` would fail.
    pub fn is_damaged(&self) -> bool {
        let is_bad = |stream: &Stream| stream.failure.is_some();
        self.undecodable.is_some() || self.data.stream.as_ref().is_some_and(is_bad)
    }
}

/// Reads bytes to their end, and says what they are. Blocks.
///
/// # Errors
/// The source reported an error.
pub fn examine(source: impl Read) -> io::Result<Contents> {
    let mut input = Input::new(source);
    let encoding = Encoding::of(input.peek(Encoding::PREFIX_LEN)?);
    let mut probe = Probe::default();
    let decoded = decode::decode(&mut input, encoding, &mut probe);
    if decoded.is_err() {
        // What is left counts for the size.
        let _ = io::copy(&mut input, &mut io::sink());
    }
    let (size, failure) = input.finish();
    match failure {
        Some(failure) => Err(failure),
        None => {
            let is_whole = decoded.is_ok();
            let (undecodable, following) = match decoded {
                Ok(following) => (None, following),
                Err(error) => (Some(error.to_string()), None),
            };
            Ok(Contents { encoding, size, undecodable, following, data: probe.finish(is_whole) })
        }
    }
}

#[cfg(test)]
mod tests;
