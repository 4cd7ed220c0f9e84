// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Images that jobs of the Workflow API make, and the placeholders that wait for them.

pub(super) mod create_from_vm;
pub(super) mod image_jobs;
pub(super) mod import_from_datacenter;
pub(super) mod import_remote;
pub(super) mod placeholders;
pub(super) mod prepare_image;
