// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decodes FAST frames from arbitrary bytes. It checks the same contract as the property tests of `moray`.
//!
//! Run it with `cargo +nightly fuzz run fast_decoder`. The first byte is the size of the pieces.

#![no_main]

#[path = "../../crates/moray/tests/decoder_contract/mod.rs"]
mod decoder_contract;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((piece, bytes)) = input.split_first() {
        decoder_contract::check(bytes, usize::from(*piece));
    }
});
