// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The decoder on bytes that are not FAST, or that were damaged on the way.

mod decoder_contract;

use bytes::BytesMut;
use decoder_contract::check;
use moray::fast::{Frame, FrameCodec, Status, Version};
use proptest::prelude::*;
use tokio_util::codec::Encoder;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..40) {
        check(&bytes, piece);
    }

    #[test]
    fn bytes_that_look_like_headers(
        head in prop::collection::vec((1u8..=3, 1u8..=2, 1u8..=4, any::<u16>(), 0u32..100_000), 1..5),
        piece in 1usize..40,
    ) {
        let mut bytes = Vec::new();
        for (version, data_type, status, crc, len) in head {
            bytes.extend([version, data_type, status, 0, 0, 0, 1, 0, 0]);
            bytes.extend(crc.to_be_bytes());
            bytes.extend(len.to_be_bytes());
            bytes.resize(bytes.len() + len as usize / 2, b'x');
        }
        check(&bytes, piece);
    }

    #[test]
    fn good_checksums_around_any_payload(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4),
        json_like in r#"\{"m":\{"name":"[a-z]{0,3}"\},"d":[\[\]{}0-9,"a-z]{0,12}\}"#,
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        piece in 1usize..40,
    ) {
        let mut buffer = BytesMut::new();
        for payload in payloads.into_iter().chain([json_like.into_bytes()]) {
            let frame = Frame { version: Version::V2, status: Status::Data, msgid: 1, payload: payload.into() };
            FrameCodec::default().encode(frame, &mut buffer).unwrap();
        }
        let mut bytes = buffer.to_vec();
        if let Some((index, byte)) = damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        check(&bytes, piece);
    }
}
