// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decodes bytes into frames and encodes frames into bytes.

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::checksum::checksum;
use super::error::{FrameError, ProtocolError};
use super::frame::{Frame, MAX_MSGID, Status, Version};

/// Length of a frame's header in bytes.
///
/// Fields: VERSION, TYPE, STATUS (1 byte each), MSGID, CRC, DATALEN (4 bytes each, big-endian).
pub const HEADER_LEN: usize = 15;

/// Default maximum payload in bytes: 64 MiB. The protocol itself has no limit.
pub const DEFAULT_MAX_PAYLOAD: usize = 64 << 20;

/// The only defined value of TYPE.
const TYPE_JSON: u8 = 1;

/// Bytes reserved ahead for a payload, so that a peer that announces much and sends nothing costs no memory.
const RESERVE_AHEAD: usize = 64 << 10;

/// Codec for either side of a connection.
///
/// A header is checked as soon as it is complete, so that a bad one is rejected without waiting for its payload.
#[derive(Debug, Clone)]
pub struct FrameCodec {
    max_payload: usize,
}

impl FrameCodec {
    /// Creates a codec that accepts and sends payloads of at most `max_payload` bytes.
    pub const fn new(max_payload: usize) -> Self {
        Self { max_payload }
    }
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_PAYLOAD)
    }
}

struct Header {
    version: Version,
    status: Status,
    msgid: u32,
    crc: u32,
    payload_len: usize,
}

impl Header {
    fn parse(mut bytes: &[u8], max_payload: usize) -> Result<Self, ProtocolError> {
        let version = Version::try_from(bytes.get_u8())?;
        let data_type = bytes.get_u8();
        if data_type != TYPE_JSON {
            return Err(ProtocolError::UnsupportedType(data_type));
        }
        let status = Status::try_from(bytes.get_u8())?;
        let msgid = bytes.get_u32();
        if msgid > MAX_MSGID {
            return Err(ProtocolError::InvalidMsgid(msgid));
        }
        let crc = bytes.get_u32();
        let payload_len = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
        check_len(payload_len, max_payload)?;
        Ok(Self { version, status, msgid, crc, payload_len })
    }
}

fn check_len(announced: usize, limit: usize) -> Result<(), ProtocolError> {
    if announced > limit { Err(ProtocolError::TooLarge { announced, limit }) } else { Ok(()) }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(header) = buffer.get(..HEADER_LEN) else { return Ok(None) };
        let header = Header::parse(header, self.max_payload)?;
        let frame_len = HEADER_LEN + header.payload_len;
        if buffer.len() < frame_len {
            buffer.reserve((frame_len - buffer.len()).min(RESERVE_AHEAD));
            return Ok(None);
        }
        let mut frame = buffer.split_to(frame_len);
        frame.advance(HEADER_LEN);
        let payload = frame.freeze();
        let actual = checksum(header.version, &payload)?;
        if header.crc != u32::from(actual) {
            return Err(ProtocolError::BadCrc { expected: header.crc, actual }.into());
        }
        Ok(Some(Frame { version: header.version, status: header.status, msgid: header.msgid, payload }))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match self.decode(buffer)? {
            Some(frame) => Ok(Some(frame)),
            None if buffer.is_empty() => Ok(None),
            None => Err(ProtocolError::IncompleteMessage(buffer.len()).into()),
        }
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: Frame, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let limit = self.max_payload;
        check_len(frame.payload.len(), limit)?;
        if frame.msgid > MAX_MSGID {
            return Err(ProtocolError::InvalidMsgid(frame.msgid).into());
        }
        let payload_len = u32::try_from(frame.payload.len())
            .map_err(|_| ProtocolError::TooLarge { announced: frame.payload.len(), limit })?;
        let crc = checksum(frame.version, &frame.payload)?;
        buffer.reserve(HEADER_LEN + frame.payload.len());
        buffer.put_u8(frame.version.byte());
        buffer.put_u8(TYPE_JSON);
        buffer.put_u8(frame.status.byte());
        buffer.put_u32(frame.msgid);
        buffer.put_u32(u32::from(crc));
        buffer.put_u32(payload_len);
        buffer.put_slice(&frame.payload);
        Ok(())
    }
}
