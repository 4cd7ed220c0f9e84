// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Images that a job is to make, from the record that says so to the image, its failure or its end.
//!
//! CreateImageFromVm stores such a record ([`create_from_vm`](super::create_from_vm)), and an import makes images that note
//! their job.

pub(in crate::images) mod abandoned;
pub(in crate::images) mod expire;
pub(super) mod fail;
pub(in crate::images) mod watch;
