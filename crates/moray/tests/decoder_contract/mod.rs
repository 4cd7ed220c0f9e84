// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the decoder owes to any bytes whatever; shared by a property test and by the fuzz target.

use bytes::BytesMut;
use moray::fast::{Envelope, ErrorPayload, FrameCodec, FrameError, HEADER_LEN, MAX_MSGID};
use tokio_util::codec::Decoder;

/// Cap on payloads in this check, in bytes.
pub(crate) const CAP: usize = 1 << 16;

/// Room that a buffer may have beyond what was received, in bytes: what is made ahead of a payload, and a doubling.
const SLACK: usize = 4 * CAP;

/// Feeds `bytes` in pieces of `piece` bytes. Panics when the decoder takes more memory than it may, invents bytes,
/// or yields what it should have refused.
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
                    // Whatever these say, they say it without a panic.
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
