// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is found wrong in the background: leftovers, damaged files, files of no image.

pub(super) mod check_files;
pub(super) mod scrub;
pub(super) mod sweep;
