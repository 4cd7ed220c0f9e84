// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One test suite for every kind of database, with manifests in Moray or in files. It checks what `images` relies on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod changes;
mod lists;
mod moray_writers;
mod paging;
mod support;
