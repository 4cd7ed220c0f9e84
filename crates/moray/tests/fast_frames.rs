// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The frames of the reference encoder, and frames that arrive in pieces of any size.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use bytes::{Bytes, BytesMut};
use moray::fast::{
    Envelope, ErrorPayload, Frame, FrameCodec, FrameError, HEADER_LEN, MAX_MSGID, ProtocolError, Status,
    Version,
};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

/// Returns the bytes of the frames F1 to F9.
fn reference_frames() -> Vec<Vec<u8>> {
    let paragraphs = include_str!("data/frames.txt").split("\n\n").skip(1);
    paragraphs
        .map(|paragraph| {
            let digits: String = paragraph.lines().skip(1).flat_map(|line| line.split(' ')).collect();
            hex::decode(digits).unwrap()
        })
        .collect()
}

fn decode_one(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    FrameCodec::default().decode(&mut BytesMut::from(bytes))
}

fn protocol_error(bytes: &[u8]) -> ProtocolError {
    match decode_one(bytes) {
        Err(FrameError::Protocol(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn encode(frame: &Frame) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    FrameCodec::default().encode(frame.clone(), &mut buffer).unwrap();
    buffer.to_vec()
}

#[test]
fn reference_frames_decode_and_encode_to_the_same_bytes() {
    use {Status::*, Version::*};
    let expected = [
        (V2, Data, 1, "ping"),
        (V2, End, 1, "ping"),
        (V1, Data, 1, "ping"),
        (V2, Data, 2, "getObject"),
        (V2, Error, 2, "getObject"),
        (V2, Data, 3, "findObjects"),
        (V2, Data, 3, "findObjects"),
        (V2, Data, MAX_MSGID, "x"),
        (V1, Data, MAX_MSGID, "x"),
    ];
    let frames = reference_frames();
    assert_eq!(frames.len(), expected.len());
    for (bytes, (version, status, msgid, method)) in frames.iter().zip(expected) {
        let frame = decode_one(bytes).unwrap().unwrap();
        assert_eq!((frame.version, frame.status, frame.msgid), (version, status, msgid));
        assert_eq!(&encode(&frame), bytes);
        if status == Error {
            let error = ErrorPayload::parse(&frame.payload).unwrap();
            assert_eq!(error.name, "ObjectNotFoundError");
        } else {
            assert_eq!(Envelope::parse(&frame.payload).unwrap().method.as_deref(), Some(method));
        }
    }
}

#[test]
fn each_broken_header_has_its_error() {
    let good = &reference_frames()[0];
    let with = |offset: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[offset] = byte;
        protocol_error(&bytes)
    };
    assert_eq!(with(0, 0), ProtocolError::UnsupportedVersion(0));
    assert_eq!(with(0, 3), ProtocolError::UnsupportedVersion(3));
    assert_eq!(with(1, 2), ProtocolError::UnsupportedType(2));
    assert_eq!(with(2, 0), ProtocolError::UnsupportedStatus(0));
    assert_eq!(with(2, 4), ProtocolError::UnsupportedStatus(4));
    assert_eq!(with(3, 0x80), ProtocolError::InvalidMsgid(0x8000_0001));
    assert_eq!(with(7, 1), ProtocolError::BadCrc { expected: 0x0100_3ada, actual: 0x3ada });
    assert_eq!(with(11, 0xff), ProtocolError::TooLarge { announced: 0xff00_0071, limit: 64 << 20 });
    assert_eq!(with(0, 1), ProtocolError::BadCrc { expected: 0x3ada, actual: 0x73de });
}

#[test]
fn a_bad_header_is_refused_before_its_payload_arrives() {
    let mut header = reference_frames()[0][..HEADER_LEN].to_vec();
    assert!(decode_one(&header).unwrap().is_none());
    header[11] = 0x7f;
    assert!(matches!(protocol_error(&header), ProtocolError::TooLarge { .. }));
}

#[test]
fn an_announced_payload_costs_no_memory() {
    let mut header = reference_frames()[0][..HEADER_LEN].to_vec();
    header[11..15].copy_from_slice(&(64u32 << 20).to_be_bytes());
    let mut buffer = BytesMut::from(&header[..]);
    assert!(FrameCodec::default().decode(&mut buffer).unwrap().is_none());
    assert!(buffer.capacity() < 1 << 20, "{}", buffer.capacity());
}

#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error() {
    let bytes = &reference_frames()[0];
    let mut codec = FrameCodec::default();
    assert!(codec.decode_eof(&mut BytesMut::new()).unwrap().is_none());
    for len in 1..bytes.len() {
        let error = codec.decode_eof(&mut BytesMut::from(&bytes[..len])).unwrap_err();
        assert!(
            matches!(error, FrameError::Protocol(ProtocolError::IncompleteMessage(n)) if n == len),
            "{error:?}"
        );
    }
}

#[test]
fn the_encoder_refuses_what_a_peer_would_refuse() {
    let frame = Frame::end(Version::V2, MAX_MSGID + 1, "x").unwrap();
    let mut buffer = BytesMut::new();
    assert!(FrameCodec::default().encode(frame, &mut buffer).is_err());
    let frame = Frame::end(Version::V2, 1, "x").unwrap();
    assert!(FrameCodec::new(10).encode(frame, &mut buffer).is_err());
    assert!(buffer.is_empty());
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let version = prop_oneof![Just(Version::V1), Just(Version::V2)];
    let status = prop_oneof![Just(Status::Data), Just(Status::End), Just(Status::Error)];
    (version, status, 0..=MAX_MSGID, ".{0,40}").prop_map(|(version, status, msgid, text)| Frame {
        version,
        status,
        msgid,
        payload: Bytes::from(text),
    })
}

proptest! {
    #[test]
    fn frames_survive_any_cutting_and_joining(
        frames in prop::collection::vec(any_frame(), 1..8),
        cuts in prop::collection::vec(1usize..50, 1..40),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(encode).collect();
        let mut codec = FrameCodec::default();
        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                decoded.push(frame);
            }
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(codec.decode_eof(&mut buffer).unwrap().is_none());
        prop_assert_eq!(decoded, frames);
    }

    #[test]
    fn two_frames_cut_at_every_byte(first in any_frame(), second in any_frame()) {
        let stream = [encode(&first), encode(&second)].concat();
        for cut in 0..=stream.len() {
            let mut codec = FrameCodec::default();
            let mut buffer = BytesMut::from(&stream[..cut]);
            let mut decoded = Vec::new();
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                decoded.push(frame);
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                decoded.push(frame);
            }
            prop_assert_eq!(&decoded, &[first.clone(), second.clone()]);
        }
    }
}
