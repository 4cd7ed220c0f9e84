// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;

use super::server::{Server, Stored};
use super::*;
use crate::import::registry::Descriptor;
use crate::manifest::Compression;

/// More than the queues between the threads hold.
fn tar() -> Vec<u8> {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..1_200_000).map(|index| if index % 3 == 0 { random() } else { b'x' }).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Fetches a layer with this content.
async fn fetched(
    stored: Vec<u8>,
    diff_id: Option<Digest>,
) -> Result<(Compression, Vec<u8>, Digest), RegistryError> {
    let digest = Digest::of(&stored);
    let size = stored.len() as u64;
    let image = Stored::new(stored, b"");
    let server = Server::start(move |request, _| image.answer(request)).await;
    let descriptor = Descriptor { media_type: String::new(), digest, size };
    let layer = registry(&server).layer(&descriptor, diff_id).await?;
    assert_eq!(layer.length, Some(size));
    let compression = layer.compression;
    let (bytes, uncompressed) = whole(layer).await?;
    Ok((compression, bytes, uncompressed))
}

#[tokio::test]
async fn a_layer_is_stored_as_it_is_and_verified_decompressed() {
    let tar = tar();
    let cases = [
        (Compression::None, tar.clone()),
        (Compression::Gzip, gzip(&tar)),
        (Compression::Gzip, [gzip(&tar[..1000]), gzip(&tar[1000..])].concat()),
        (Compression::Bzip2, bzip2(&tar)),
        (Compression::Xz, xz(&tar)),
    ];
    for (compression, stored) in cases {
        for diff_id in [Some(Digest::of(&tar)), None] {
            let fetched = fetched(stored.clone(), diff_id).await.unwrap();
            assert!(fetched == (compression, stored.clone(), Digest::of(&tar)), "{compression:?}");
        }
        let error = fetched(stored.clone(), Some(Digest::of(b"other"))).await.unwrap_err();
        assert!(matches!(error, RegistryError::OtherDigest { .. }), "{compression:?} {error}");
    }
}

#[tokio::test]
async fn a_zstd_layer_becomes_a_gzip_layer() {
    let tar = tar();
    let (compression, bytes, uncompressed) = fetched(zstd(&tar), Some(Digest::of(&tar))).await.unwrap();
    assert_eq!((compression, uncompressed), (Compression::Gzip, Digest::of(&tar)));
    let mut decoded = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut decoded).unwrap();
    assert!(decoded == tar);
    let error = fetched(zstd(&tar), Some(Digest::of(b"other"))).await.unwrap_err();
    assert!(matches!(error, RegistryError::OtherDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_layer_that_cannot_be_decompressed_is_refused() {
    let tar = tar();
    for stored in [gzip(&tar), bzip2(&tar), xz(&tar), zstd(&tar)] {
        let cut = stored[..stored.len() / 2].to_vec();
        let garbage = [&stored[..20], &[0; 1000]].concat();
        for damaged in [cut, garbage] {
            let error = fetched(damaged, None).await.unwrap_err();
            assert!(matches!(error, RegistryError::Damaged { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_blobs_digest_counts_more_than_what_is_in_it() {
    // The registry has other bytes than the descriptor says, and they cannot be decompressed either.
    for beginning in [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd"] {
        let bytes = [beginning, &[0xff; 500_000]].concat();
        let image = Stored::new(bytes.clone(), b"");
        let server = Server::start(move |request, _| image.answer(request).flip_last_byte()).await;
        let descriptor = Descriptor { media_type: String::new(), digest: Digest::of(&bytes), size: 1 };
        let layer = registry(&server).layer(&descriptor, None).await.unwrap();
        let error = whole(layer).await.unwrap_err();
        assert!(matches!(error, RegistryError::OtherDigest { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_layer_may_be_tiny_or_empty() {
    for stored in [&b""[..], b"x", b"\x1f", b"12345"] {
        let fetched = fetched(stored.to_vec(), Some(Digest::of(stored))).await.unwrap();
        assert_eq!(fetched, (Compression::None, stored.to_vec(), Digest::of(stored)));
    }
    // Docker's and buildah's empty layers.
    let empty = fetched(gzip(&[0; 1024]), Some(Digest::EMPTY_TAR)).await.unwrap();
    assert_eq!(empty.2, Digest::EMPTY_TAR);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_threads() {
    let tar = tar();
    for stored in [gzip(&tar), zstd(&tar)] {
        let image = Stored::new(stored.clone(), b"");
        let server = Server::start(move |request, _| image.answer(request)).await;
        let descriptor = Descriptor { media_type: String::new(), digest: Digest::of(&stored), size: 1 };
        let mut layer = registry(&server).layer(&descriptor, None).await.unwrap();
        layer.bytes.try_next().await.unwrap();
        // The runtime waits for its blocking threads when the test ends.
        drop(layer);
    }
}
