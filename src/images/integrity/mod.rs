// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Finds and removes leftovers, and reports damaged files and files without an image.

pub(super) mod check_files;
pub(super) mod problem;
pub(super) mod scrub;

pub(super) mod sweep;
