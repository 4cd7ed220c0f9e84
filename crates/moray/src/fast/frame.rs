// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The unit of transmission of FAST.

use bytes::Bytes;
use serde::Serialize;

use super::envelope::{self, ErrorPayload};
use super::error::ProtocolError;

/// The greatest message id: 2^31 - 1.
pub const MAX_MSGID: u32 = 0x7fff_ffff;

/// Protocol version. It only determines the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// CRC-16/XMODEM over the low byte of every UTF-16 code unit. Used by node-fast before 3.0.
    V1,
    /// CRC-16/ARC over the bytes. Used by every current Moray.
    #[default]
    V2,
}

impl Version {
    /// The VERSION byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

impl TryFrom<u8> for Version {
    type Error = ProtocolError;

    fn try_from(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            other => Err(ProtocolError::UnsupportedVersion(other)),
        }
    }
}

/// The role of a frame in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A request, or objects of a reply that continues.
    Data,
    /// The last frame of a successful reply. It may carry objects.
    End,
    /// The last frame of a failed reply.
    Error,
}

impl Status {
    /// The STATUS byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::End => 2,
            Self::Error => 3,
        }
    }
}

impl TryFrom<u8> for Status {
    type Error = ProtocolError;

    fn try_from(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            1 => Ok(Self::Data),
            2 => Ok(Self::End),
            3 => Ok(Self::Error),
            other => Err(ProtocolError::UnsupportedStatus(other)),
        }
    }
}

/// One FAST frame: a 15-byte header and a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Protocol version. A server answers in the version of the request.
    pub version: Version,
    /// The role of the frame in its request.
    pub status: Status,
    /// Identifies a request on its connection. The client chooses it; at most [`MAX_MSGID`].
    pub msgid: u32,
    /// UTF-8 JSON text of an [`Envelope`](super::Envelope).
    pub payload: Bytes,
}

impl Frame {
    /// Builds a DATA frame with `items` (an array or a tuple) as `d`: a request with its arguments, or objects of a reply.
    ///
    /// # Errors
    ///
    /// Fails if `items` cannot be serialized as JSON.
    pub fn data(
        version: Version,
        msgid: u32,
        method: &str,
        items: &(impl Serialize + ?Sized),
    ) -> serde_json::Result<Self> {
        let payload = envelope::encode(method, items)?;
        Ok(Self { version, status: Status::Data, msgid, payload })
    }

    /// Builds an END frame without objects.
    ///
    /// # Errors
    ///
    /// Fails if `method` cannot be serialized as JSON, which does not happen.
    pub fn end(version: Version, msgid: u32, method: &str) -> serde_json::Result<Self> {
        let payload = envelope::encode(method, &[(); 0])?;
        Ok(Self { version, status: Status::End, msgid, payload })
    }

    /// Builds an ERROR frame.
    ///
    /// # Errors
    ///
    /// Fails if `error` cannot be serialized as JSON, which does not happen.
    pub fn error(
        version: Version,
        msgid: u32,
        method: &str,
        error: &ErrorPayload,
    ) -> serde_json::Result<Self> {
        let payload = envelope::encode(method, error)?;
        Ok(Self { version, status: Status::Error, msgid, payload })
    }
}
