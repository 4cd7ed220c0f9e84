// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The parser on real streams of OpenZFS' test suite.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stream_contract;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use stream_contract::parse;
use support::{REAL, real};
use zfs_stream::{ByteOrder, DatasetKind, Feature, Reason, RecordKind, Summary, Sums};

fn good(name: &str, sums: Sums) -> Summary {
    let stream = real(name);
    let (taken, _, summary) = parse(&stream, &[4096], sums);
    assert_eq!(taken, stream.len(), "{name}");
    summary.unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn real_streams_are_good_however_they_are_cut() {
    for name in REAL {
        let summary = good(name, Sums::Check);
        assert_eq!(summary, good(name, Sums::Skip));
        let stream = real(name);
        for piece in [1, 3, 311, 312, 313, 65_537, stream.len()] {
            stream_contract::check(&stream, piece);
        }
    }
}

#[test]
fn a_summary_says_what_a_stream_is() {
    for (name, order, guid) in [
        (REAL[0], ByteOrder::Little, 4_763_970_001_506_133_364),
        (REAL[2], ByteOrder::Big, 11_722_431_361_444_779_991),
    ] {
        let summary = good(name, Sums::Check);
        let part = &summary.parts()[0];
        assert_eq!((summary.order, summary.is_compound, summary.part_count), (order, false, 1));
        assert_eq!((part.begin.to_guid, part.begin.from_guid), (guid, 0));
        assert_eq!(
            (part.begin.kind, part.begin.name.as_str()),
            (DatasetKind::FileSystem, "test/source@baseline")
        );
        assert_eq!((part.offset, part.length), (0, summary.length));
        assert!(!part.begin.is_incremental() && !part.begin.is_resuming());
        let names: Vec<_> = summary.features.known().map(Feature::name).collect();
        assert_eq!(names, ["sa-spill", "embedded-data", "lz4", "redacted", "compressed"]);
        assert!(summary.features.contains(Feature::Redacted));
    }
    for (name, guid, from) in [
        (REAL[1], 10_829_275_695_595_115_161, 4_763_970_001_506_133_364),
        (REAL[3], 9_453_191_142_355_108_458, 11_722_431_361_444_779_991),
    ] {
        let summary = good(name, Sums::Check);
        let parts = summary.parts();
        assert!(summary.is_compound);
        assert_eq!((summary.part_count, parts.len()), (2, 2));
        assert_eq!((parts[0].offset, parts[0].offset + parts[0].length), (1612, parts[1].offset));
        assert_eq!(parts[1].offset + parts[1].length + 312, summary.length);
        assert_eq!((parts[0].begin.to_guid, parts[0].begin.from_guid), (guid, from));
        assert!(parts[0].begin.is_incremental() && parts[0].begin.flags.is_clone());
        assert!(
            parts[1].begin.features.contains(Feature::Raw) && !parts[0].begin.features.contains(Feature::Raw)
        );
    }
}

#[test]
fn records_are_counted_as_zstream_dump_counts_them() {
    let summary = good("decompress", Sums::Check);
    let counts = RecordKind::ALL.map(|kind| summary.records.of(kind));
    assert_eq!(counts, [1, 9, 3, 8, 14, 1, 0, 0, 3, 0, 0]);
    assert_eq!((summary.records.total(), summary.payload, summary.length), (39, 52_624, 64_792));
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    for name in REAL {
        let mut stream = real(name);
        // Every byte of the records at both ends, and a sample of the others, because each of them costs a whole parse.
        let last = stream.len() - 700;
        for at in (0..2000).chain((2000..last).step_by(97)).chain(last..stream.len()) {
            for flip in [1, 0x80] {
                stream[at] ^= flip;
                let (taken, _, outcome) = parse(&stream, &[stream.len()], Sums::Check);
                assert!(outcome.is_err() || taken < stream.len(), "{name}: byte {at}");
                stream[at] ^= flip;
            }
        }
    }
}

#[test]
fn a_cut_is_found_and_bytes_behind_the_end_are_left() {
    for name in REAL {
        let stream = real(name);
        for end in (16..stream.len()).step_by(331).chain([stream.len() - 1]) {
            let (.., outcome) = parse(&stream[..end], &[], Sums::Check);
            assert_eq!(outcome.unwrap_err().reason, Reason::CutOff(end as u64), "{name}");
        }
        let more = [&stream[..], b"more"].concat();
        let (taken, _, outcome) = parse(&more, &[1000], Sums::Check);
        assert!(outcome.is_ok() && taken == stream.len());
    }
    for no_stream in [&b""[..], b"<html>", b"<html><body>nothing here"] {
        assert_eq!(parse(no_stream, &[5], Sums::Check).2.unwrap_err().reason, Reason::NoStream);
    }
}
