// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The unit of transmission.

use bytes::Bytes;
use serde::Serialize;

use super::envelope::{self, ErrorPayload};
use super::error::ProtocolError;

/// The greatest message id: 2^31 - 1.
pub const MAX_MSGID: u32 = 0x7fff_ffff;

/// Version of the protocol. It decides the checksum and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// CRC-16/XMODEM over the low 8 bits of every UTF-16 unit; what node-fast before 3.0 speaks.
    V1,
    /// CRC-16/ARC over the bytes; what every current Moray speaks.
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

/// What a frame means in the life of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A request, or some objects of a reply that goes on.
    Data,
    /// The last frame of a reply that succeeded. It may carry objects.
    End,
    /// The last frame of a reply that failed.
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
    /// A server answers in the version of the request.
    pub version: Version,
    /// Place in the life of the request.
    pub status: Status,
    /// Names a request on its connection; chosen by the client, at most [`MAX_MSGID`].
    pub msgid: u32,
    /// UTF-8 JSON text of an [`Envelope`](super::Envelope).
    pub payload: Bytes,
}

impl Frame {
    /// A DATA frame with `items` (an array or a tuple) as `d`: a request with its arguments, or objects of a reply.
    ///
    /// # Errors
    ///
    /// When `items` cannot be written as JSON.
    pub fn data(
        version: Version,
        msgid: u32,
        method: &str,
        items: &(impl Serialize + ?Sized),
    ) -> serde_json::Result<Self> {
        let payload = envelope::encode(method, items)?;
        Ok(Self { version, status: Status::Data, msgid, payload })
    }

    /// An END frame without objects.
    ///
    /// # Errors
    ///
    /// When `method` cannot be written as JSON, which does not happen.
    pub fn end(version: Version, msgid: u32, method: &str) -> serde_json::Result<Self> {
        let payload = envelope::encode(method, &[(); 0])?;
        Ok(Self { version, status: Status::End, msgid, payload })
    }

    /// An ERROR frame.
    ///
    /// # Errors
    ///
    /// When `error` cannot be written as JSON, which does not happen.
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
