// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs::File;
use std::io::{Read, Write};

use super::*;

const STREAM: &str = "little-endian-all-drr-types-base-NATIVE";

fn real() -> Vec<u8> {
    let path = format!("{}/crates/zfs-stream/tests/data/{STREAM}.zsend.bz2", env!("CARGO_MANIFEST_DIR"));
    let mut stream = Vec::new();
    bzip2::read::BzDecoder::new(File::open(path).unwrap()).read_to_end(&mut stream).unwrap();
    stream
}

fn compressed(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Lzma => {
            let options = lzma_rust2::LzmaOptions::with_preset(1);
            let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => {
            ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Encoding::None => plain.to_vec(),
    }
}

const ALL: [Encoding; 6] =
    [Encoding::Gzip, Encoding::Bzip2, Encoding::Xz, Encoding::Lzma, Encoding::Zstd, Encoding::None];

/// A source that gives one byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn a_stream_is_found_in_every_compression() {
    let plain = real();
    for encoding in ALL {
        let bytes = compressed(encoding, &plain);
        for contents in [examine(&bytes[..]).unwrap(), examine(Slow(&bytes)).unwrap()] {
            assert_eq!((contents.encoding, contents.size), (encoding, bytes.len() as u64));
            assert_eq!((contents.data.size, contents.data.kind), (plain.len() as u64, DataKind::ZfsStream));
            assert!(!contents.is_damaged() && contents.following.is_none(), "{encoding}: {contents:?}");
            let stream = contents.data.stream.unwrap();
            assert_eq!(stream.summary.unwrap().parts()[0].begin.to_guid, 4_763_970_001_506_133_364);
            assert_eq!(stream.bytes_after, 0);
        }
    }
}

#[test]
fn damage_is_found_in_every_compression() {
    let plain = real();
    let flipped = {
        let mut flipped = plain.clone();
        flipped[30_000] ^= 1;
        flipped
    };
    for encoding in ALL {
        let bytes = compressed(encoding, &plain);
        let cut = examine(&bytes[..bytes.len() - 20]).unwrap();
        assert!(cut.is_damaged(), "{encoding}");
        assert_eq!(cut.size, bytes.len() as u64 - 20);
        assert_eq!(cut.undecodable.is_some(), encoding != Encoding::None);
        let contents = examine(&compressed(encoding, &flipped)[..]).unwrap();
        assert!(contents.is_damaged() && contents.undecodable.is_none(), "{encoding}");
        let failure = contents.data.stream.unwrap().failure.unwrap();
        assert!(matches!(failure.reason, zfs_stream::Reason::WrongSum { .. }), "{failure}");
        let contents = examine(&compressed(encoding, &plain[..50_000])[..]).unwrap();
        let failure = contents.data.stream.unwrap().failure.unwrap();
        assert_eq!(failure.reason, zfs_stream::Reason::CutOff(50_000));
    }
}

#[test]
fn what_follows_is_told() {
    let plain = real();
    for encoding in [Encoding::Gzip, Encoding::Bzip2] {
        let bytes = compressed(encoding, &plain);
        let with = |more: &[u8]| examine(Slow(&[&bytes[..], more].concat())).unwrap();
        let twice = examine(&[&bytes[..], &bytes[..]].concat()[..]).unwrap();
        assert_eq!(twice.data.size, 2 * plain.len() as u64);
        assert_eq!(twice.data.stream.unwrap().bytes_after, plain.len() as u64);
        let hidden = [&[0; 700][..], &bytes[..]].concat();
        for (more, kind) in [
            (&[0; 700][..], (encoding == Encoding::Bzip2).then_some(FollowingKind::Zeros)),
            (b"x", Some(FollowingKind::Garbage)),
            (b"\0\0x", Some(FollowingKind::Garbage)),
            (&hidden, Some(FollowingKind::HiddenMember)),
        ] {
            let contents = with(more);
            let (offset, length) = (bytes.len() as u64, more.len() as u64);
            assert_eq!(contents.following, kind.map(|kind| Following { offset, length, kind }), "{encoding}");
            assert!(!contents.is_damaged());
            assert_eq!((contents.data.size, contents.size), (plain.len() as u64, offset + length));
        }
    }
}

#[test]
fn other_data_has_a_name() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, kind) in [
        (&b""[..], DataKind::Empty),
        (b"\n<!DOCTYPE html><p>404", DataKind::Html),
        (b"<HTML>", DataKind::Html),
        (&tar, DataKind::Tar),
        (b"text", DataKind::Unknown),
    ] {
        for encoding in [Encoding::None, Encoding::Gzip, Encoding::Zstd] {
            let contents = examine(&compressed(encoding, bytes)[..]).unwrap();
            assert_eq!((contents.data.kind, contents.data.size), (kind, bytes.len() as u64));
            assert!(contents.data.stream.is_none() && !contents.is_damaged());
        }
    }
}

#[test]
fn an_error_of_the_source_is_no_damage() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    for encoding in ALL {
        let bytes = compressed(encoding, &real());
        let error = examine(bytes[..bytes.len() / 2].chain(Failing)).unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone", "{encoding}");
    }
}
