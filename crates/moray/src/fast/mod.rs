// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! FAST, the RPC protocol of Moray, for clients and servers.
//!
//! A connection carries [`Frame`]s in both directions over plain TCP, one after the other. [`FrameCodec`] converts between bytes
//! and frames. The payload of a frame is a JSON [`Envelope`]. This module does no input or output.

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
