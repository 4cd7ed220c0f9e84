// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Operations that move bytes: uploads, downloads, icons, copies, and how a file gets to its final place.

pub(super) mod add_file;
pub(super) mod change_stor;
pub(super) mod export;
pub(super) mod fetch;
pub(super) mod get_file;
pub(super) mod heartbeat;
pub(super) mod icon;
pub(super) mod pace;
pub(super) mod publish;
pub(super) mod reading;
pub(super) mod receive;
pub(super) mod uploads;
