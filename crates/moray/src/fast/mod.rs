// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! FAST, the RPC protocol that Moray speaks, for clients and servers.
//!
//! A connection carries [`Frame`]s in both directions, back to back, over plain TCP; [`FrameCodec`] turns bytes
//! into frames and back. The payload of a frame is a JSON [`Envelope`]. Nothing here does any input or output.

mod checksum;
mod codec;
mod envelope;
mod error;
mod frame;

pub use checksum::checksum;
pub use codec::{DEFAULT_MAX_PAYLOAD, FrameCodec, HEADER_LEN};
pub(crate) use envelope::encode;
pub use envelope::{Envelope, ErrorPayload};
pub use error::{FrameError, ProtocolError};
pub use frame::{Frame, MAX_MSGID, Status, Version};
