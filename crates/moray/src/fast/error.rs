// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ways in which received bytes can violate FAST.

use std::io;

/// The peer violated the protocol. The connection is unusable from then on, because the next frame cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The VERSION byte is neither 1 nor 2.
    #[error("unsupported protocol version {0}")]
    UnsupportedVersion(u8),
    /// The TYPE byte is not 1 (JSON).
    #[error("unsupported payload type {0}")]
    UnsupportedType(u8),
    /// The STATUS byte is not DATA, END or ERROR, or is one that this side must not send.
    #[error("unsupported status {0}")]
    UnsupportedStatus(u8),
    /// The message id has its top bit set.
    #[error("message id {0} is out of range")]
    InvalidMsgid(u32),
    /// The payload does not match the checksum in its header.
    #[error("bad checksum: header says {expected:#06x}, payload has {actual:#06x}")]
    BadCrc {
        /// The checksum in the header.
        expected: u32,
        /// The checksum computed from the payload.
        actual: u16,
    },
    /// The payload is longer than this side accepts or sends.
    #[error("payload of {announced} bytes is over the limit of {limit}")]
    TooLarge {
        /// Length of the payload in bytes.
        announced: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame, after {0} bytes of it")]
    IncompleteMessage(usize),
    /// The payload is not JSON, or not UTF-8.
    #[error("payload is not valid JSON: {0}")]
    InvalidJson(String),
    /// The payload is JSON but not an envelope.
    #[error("payload is not a valid envelope: {0}")]
    BadData(String),
    /// An ERROR frame has no string `name` and string `message`.
    #[error("error frame without a name and a message: {0}")]
    BadError(String),
    /// The message id of a reply is not in use.
    #[error("reply to message id {0}, which is not in use")]
    UnknownMsgid(u32),
}

impl ProtocolError {
    /// Returns Node.js's name for this failure (`fastReason`). `TooLarge` has no counterpart there.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnsupportedVersion(_) => "unsupported_version",
            Self::UnsupportedType(_) => "unsupported_type",
            Self::UnsupportedStatus(_) => "unsupported_status",
            Self::InvalidMsgid(_) => "invalid_msgid",
            Self::BadCrc { .. } => "bad_crc",
            Self::TooLarge { .. } => "too_large",
            Self::IncompleteMessage(_) => "incomplete_message",
            Self::InvalidJson(_) => "invalid_json",
            Self::BadData(_) => "bad_data",
            Self::BadError(_) => "bad_error",
            Self::UnknownMsgid(_) => "unknown_msgid",
        }
    }
}

/// A failure of [`FrameCodec`](super::FrameCodec) on a socket.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not FAST.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
