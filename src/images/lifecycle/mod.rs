// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Operations that change a record together with its files.

pub(super) mod activate;
pub(super) mod clone;
pub(super) mod delete;
pub(super) mod rename;
pub(super) mod update;
pub(super) mod with_files;
