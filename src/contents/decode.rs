// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, BufRead, Read, Write};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::{LzmaReader, XzReader};

use super::ZstdReader;
use super::encoding::Encoding;
use super::input::Input;

/// Memory limit for xz, in KiB. Its strongest preset takes 65 MiB.
const XZ_MEMORY: u32 = 1 << 20;

/// Bytes of decompressed data that are handed on at a time.
const PIECE: usize = 128 << 10;

/// What follows compressed data, and is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What it is.
    pub kind: FollowingKind,
}

/// A kind of what follows compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowingKind {
    /// Zeros only.
    Zeros,
    /// Another compressed part behind zeros. `gzip` and `bzip2` ignore it, so its contents are lost without a word.
    HiddenMember,
    /// Something else.
    Garbage,
}

/// Writes decompressed data to `data`. Returns what follows the compressed bytes; padding after gzip, which is usual, is nothing.
///
/// # Errors
/// The bytes cannot be decompressed, as the platform's tools would find too; or the source failed, which `input` knows.
pub(super) fn decode<R: Read>(
    input: &mut Input<R>,
    encoding: Encoding,
    data: &mut impl Write,
) -> io::Result<Option<Following>> {
    match encoding {
        Encoding::Gzip => {
            let following = members(input, b"\x1f\x8b", |input| pass(GzDecoder::new(input), data))?;
            Ok(following.filter(|following| following.kind != FollowingKind::Zeros))
        }
        Encoding::Bzip2 => members(input, b"BZh", |input| pass(BzDecoder::new(input), data)),
        Encoding::Xz => pass(XzReader::new_mem_limit(input, true, XZ_MEMORY), data).map(|()| None),
        Encoding::Lzma => pass(LzmaReader::new_mem_limit(input, XZ_MEMORY, None)?, data).map(|()| None),
        Encoding::Zstd => pass(ZstdReader::new(input), data).map(|()| None),
        Encoding::None => pass(input, data).map(|()| None),
    }
}

/// Decompresses one member after the other, as long as the next bytes are the magic number of one.
fn members<R: Read>(
    input: &mut Input<R>,
    magic: &[u8],
    mut decode_one: impl FnMut(&mut Input<R>) -> io::Result<()>,
) -> io::Result<Option<Following>> {
    loop {
        decode_one(input)?;
        if input.peek(magic.len())? != magic {
            return following(input, magic);
        }
    }
}

/// Reads what follows the last member to its end.
fn following<R: Read>(input: &mut Input<R>, magic: &[u8]) -> io::Result<Option<Following>> {
    let offset = input.position();
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let (is_end, is_zero) = (bytes.is_empty(), zeros == bytes.len());
        input.consume(zeros);
        if is_end || !is_zero {
            break;
        }
    }
    let kind = match input.peek(magic.len())? {
        [] => FollowingKind::Zeros,
        next if next == magic => FollowingKind::HiddenMember,
        _ => FollowingKind::Garbage,
    };
    io::copy(input, &mut io::sink())?;
    let length = input.position() - offset;
    Ok((length > 0).then_some(Following { offset, length, kind }))
}

fn pass(mut plain: impl Read, data: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match plain.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => data.write_all(&piece[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
