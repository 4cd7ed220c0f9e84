// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Images that come from servers of other kinds than IMGAPI, or go there, in a stream of messages that says how far they are.

mod config_text;
mod imgapid;
mod layers;
mod lxd;
mod lxd_manifest;
mod messages;
mod push;
mod receive;
pub(super) mod running;

pub use imgapid::take_over_imgapid;
pub use lxd::{LxdReference, import_lxd_image};
pub use messages::Messages;
pub use push::{DockerPush, push_docker_image};
