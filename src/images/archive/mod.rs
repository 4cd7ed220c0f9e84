// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The last version of each manifest: written locally with every change, then shipped to Manta.

mod ship;
pub(super) mod worker;
pub(super) mod write;
