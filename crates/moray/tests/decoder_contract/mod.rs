// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What must hold for the decoder on any input. A property test and the fuzz target share this check.

use bytes::BytesMut;
use moray::fast::{Envelope, ErrorPayload, FrameCodec, FrameError, HEADER_LEN, MAX_MSGID};
use tokio_util::codec::Decoder;

/// Maximum payload in this check, in bytes.
pub(crate) const CAP: usize = 1 << 16;

/// Bytes that a buffer may hold beyond the received ones: the reserve ahead of a payload, and a doubling of the buffer.
const SLACK: usize = 4 * CAP;

/// Feeds `bytes` in pieces of `piece` bytes. Panics if the decoder takes too much memory, invents bytes, or yields a frame that
/// it should have rejected.
pub(crate) fn check(bytes: &[u8], piece: usize) {
    let mut codec = FrameCodec::new(CAP);
    let mut buffer = BytesMut::new();
    let (mut received, mut yielded) = (0, 0);
    for part in bytes.chunks(piece.max(1)) {
        received += part.len();
        buffer.extend_from_slice(part);
        loop {
            let before = buffer.len();
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    assert_eq!(before - buffer.len(), HEADER_LEN + frame.payload.len());
                    assert!(frame.payload.len() <= CAP && frame.msgid <= MAX_MSGID);
                    yielded += HEADER_LEN + frame.payload.len();
                    // The result does not matter here; only a panic would be an error.
                    let _ = Envelope::parse(&frame.payload).map(|envelope| envelope.into_objects().count());
                    let _ = ErrorPayload::parse(&frame.payload);
                }
                Ok(None) => break,
                Err(FrameError::Protocol(_)) => return,
                Err(FrameError::Io(error)) => unreachable!("no socket here: {error}"),
            }
        }
        assert_eq!(yielded + buffer.len(), received);
        assert!(buffer.len() < HEADER_LEN + CAP, "waits for more than the longest frame");
        assert!(buffer.capacity() <= buffer.len() + SLACK, "{} bytes allocated", buffer.capacity());
    }
    let left = buffer.len();
    let end = codec.decode_eof(&mut buffer);
    assert_eq!(left == 0, matches!(end, Ok(None)), "{end:?}");
}
