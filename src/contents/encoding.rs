// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// The format before xz, which `xz` decompresses too.
    Lzma,
    /// Zstandard (RFC 8878), which IMGAPI's `compression` does not have.
    Zstd,
    /// Not at all, as far as the first bytes tell.
    None,
}

impl Encoding {
    /// Number of first bytes that tell the compression.
    pub const PREFIX_LEN: usize = 6;

    /// Returns the compression of bytes that begin like this.
    pub fn of(bytes: &[u8]) -> Encoding {
        // lzma has no magic number; `xz` and `file` know it by its usual parameters and the size of its dictionary.
        let known: [(&[u8], Encoding); 5] = [
            (b"\x1f\x8b", Encoding::Gzip),
            (b"BZh", Encoding::Bzip2),
            (b"\xfd7zXZ\0", Encoding::Xz),
            (b"\x28\xb5\x2f\xfd", Encoding::Zstd),
            (b"\x5d\0\0", Encoding::Lzma),
        ];
        known
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map_or(Encoding::None, |(_, encoding)| *encoding)
    }

    /// The name, as `compression` has it in a manifest where it is one of IMGAPI's.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Bzip2 => "bzip2",
            Encoding::Xz => "xz",
            Encoding::Lzma => "lzma",
            Encoding::Zstd => "zstd",
            Encoding::None => "none",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
