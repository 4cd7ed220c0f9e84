// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Authorization: a table of every route, and callers with wrong credentials.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod adm;
mod basic;
mod callers;
mod cells;
mod key_files;
mod manta_keys;
mod signatures;
mod support;
mod table;
