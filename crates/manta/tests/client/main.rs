// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests the client over real sockets, against a server that does what the test tells it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod directories;
mod downloads;
mod failures;
mod listings;
mod requests;
mod resumption;
mod signatures;
mod support;
mod tls;
mod uploads;
