// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The two checksums of FAST.
//!
//! Version 1 arose by accident: a library hashed a JavaScript string by taking the low byte of every UTF-16 code unit. A later
//! version of that library hashed bytes, with a different polynomial; that became version 2.

use crc::{CRC_16_ARC, CRC_16_XMODEM, Crc, Table};

use super::error::ProtocolError;
use super::frame::Version;

static V1: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);
static V2: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_ARC);

/// Number of code units hashed at a time in version 1. Hashing single bytes is several times slower.
const CHUNK: usize = 256;

/// Returns the checksum of a payload.
///
/// # Errors
///
/// [`ProtocolError::InvalidJson`] in version 1 if the payload is not UTF-8, because version 1 hashes characters.
pub fn checksum(version: Version, payload: &[u8]) -> Result<u16, ProtocolError> {
    match version {
        Version::V2 => Ok(V2.checksum(payload)),
        Version::V1 if payload.is_ascii() => Ok(V1.checksum(payload)),
        Version::V1 => std::str::from_utf8(payload)
            .map(checksum_of_units)
            .map_err(|error| ProtocolError::InvalidJson(error.to_string())),
    }
}

fn checksum_of_units(text: &str) -> u16 {
    let mut digest = V1.digest();
    let mut chunk = [0; CHUNK];
    let mut filled = 0;
    for unit in text.encode_utf16() {
        let [low, _] = unit.to_le_bytes();
        chunk[filled] = low;
        filled += 1;
        if filled == CHUNK {
            digest.update(&chunk);
            filled = 0;
        }
    }
    digest.update(&chunk[..filled]);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_reference_encoder() {
        let vectors = [
            ("", 0x0000, 0x0000),
            ("123456789", 0xbb3d, 0x31c3),
            ("{}", 0xd1e2, 0x7b99),
            ("[]", 0xc9fa, 0x591d),
            ("é", 0x8e90, 0x6c07),
            ("€", 0xebc0, 0x7466),
            ("😀", 0x4e69, 0x73c9),
        ];
        for (text, v2, v1) in vectors {
            assert_eq!(checksum(Version::V2, text.as_bytes()), Ok(v2), "version 2 of {text:?}");
            assert_eq!(checksum(Version::V1, text.as_bytes()), Ok(v1), "version 1 of {text:?}");
        }
    }

    #[test]
    fn version_1_is_the_same_for_text_longer_than_a_chunk() {
        let text = "é€😀x".repeat(300);
        let low_bytes: Vec<u8> = text.encode_utf16().map(|unit| unit.to_le_bytes()[0]).collect();
        assert_eq!(checksum(Version::V1, text.as_bytes()), Ok(V1.checksum(&low_bytes)));
    }

    #[test]
    fn version_1_refuses_what_is_not_utf8() {
        assert!(matches!(checksum(Version::V1, b"\xff"), Err(ProtocolError::InvalidJson(_))));
        assert!(checksum(Version::V2, b"\xff").is_ok());
    }
}
