// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Parses arbitrary bytes as a ZFS stream. It checks the same contract as the property tests of `zfs-stream`.
//!
//! Run it with `cargo +nightly fuzz run zfs_stream`. The first byte is the size of the pieces. The magic number of one byte order is
//! put in its place, because random bytes hardly ever have it.

#![no_main]

#[path = "../../crates/zfs-stream/tests/stream_contract/mod.rs"]
mod stream_contract;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((piece, bytes)) = input.split_first() {
        let mut bytes = bytes.to_vec();
        if bytes.len() >= 16 {
            bytes[..4].fill(0);
            bytes[8..16].copy_from_slice(&0x2_F5BA_CBAC_u64.to_le_bytes());
        }
        stream_contract::check(&bytes, usize::from(*piece));
    }
});
