// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The one way to change a record, and the operations that change nothing else.

pub(super) mod acl;
pub(super) mod change;
pub(super) mod channels;
pub(super) mod create;
pub(super) mod enable;
pub(super) mod import;
pub(super) mod list;
pub(super) mod locations;
pub(super) mod lookup;
pub(super) mod origin;
pub(super) mod precondition;
