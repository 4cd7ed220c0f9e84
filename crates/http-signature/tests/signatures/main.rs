// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Signatures made by other programs and by this crate, and requests with one changed byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod fingerprints;
mod mutations;
mod openssl;
mod policy;
mod private_keys;
mod public_keys;
mod support;
mod vectors;
