// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The parser on streams that are built, and on garbage.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stream_contract;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use stream_contract::parse;
use support::{Builder, REAL, real};
use zfs_stream::{ByteOrder, DatasetKind, Feature, MAX_PARTS, Reason, RecordKind, Sums};

/// A record to build: its kind, and a number that its lengths follow from.
type Recipe = (u32, u16);

/// Adds a record, and returns the lengths of its payload and of its data.
fn add(builder: &mut Builder, (kind, size): Recipe) -> (usize, u64) {
    let words = usize::from(size % 900) * 4;
    let eights = words.next_multiple_of(8);
    let payload =
        |length: usize| (0..length).map(|at| (at * 7 + usize::from(size)) as u8).collect::<Vec<u8>>();
    match kind {
        1 if size % 2 == 0 => {
            let length = builder.u32(eights as u32 - u32::from(eights > 0) * 3);
            builder.record(1, &[(28, &length)], &payload(eights));
            (eights, 0)
        }
        1 => {
            let (plain, raw) = (builder.u32(1), builder.u32(words as u32 + 4));
            builder.record(1, &[(28, &plain), (36, &raw)], &payload(words + 4));
            (words + 4, 0)
        }
        3 if size % 2 == 0 => {
            builder.write(words as u64, 0, &payload(words));
            (words, words as u64)
        }
        3 => {
            builder.write(1 << 24, 15, &payload(words));
            (words, 1 << 24)
        }
        7 => {
            let (logical, compressed) = (builder.u64(512), builder.u64(words as u64 + 4));
            builder.record(7, &[(16, &logical), (40, &compressed)], &payload(words + 4));
            (words + 4, 512)
        }
        8 => {
            let length = usize::from(size % 113);
            let (logical, stored) = (builder.u64(4096), builder.u32(length as u32));
            builder.record(8, &[(24, &logical), (52, &stored)], &payload(length.next_multiple_of(8)));
            (length.next_multiple_of(8), 4096)
        }
        other => {
            builder.record(other, &[(8, &[7; 8])], &[]);
            (0, 0)
        }
    }
}

fn recipes() -> impl Strategy<Value = Vec<Recipe>> {
    vec((prop::sample::select(vec![1_u32, 2, 3, 4, 6, 7, 8, 9, 10]), any::<u16>()), 0..40)
}

proptest! {
    #[test]
    fn built_streams_are_read_as_they_were_built(
        parts in vec(recipes(), 1..4),
        is_big in any::<bool>(),
        has_sums in any::<bool>(),
        pieces in vec(1_usize..2000, 1..5),
        flip in any::<prop::sample::Index>(),
    ) {
        let order = if is_big { ByteOrder::Big } else { ByteOrder::Little };
        let mut builder = Builder::new(order, has_sums);
        let is_compound = parts.len() > 1;
        if is_compound {
            builder.begin(2, 0, (0, 0), "pool@all", &[9; 988]);
            builder.end(0);
        }
        let (mut payload, mut data) = (if is_compound { 988 } else { 0 }, 0);
        let mut counts = [0_u64; 11];
        for (number, part) in parts.iter().enumerate() {
            builder.begin(0x11, 3, (100 + number as u64, 7), "pool/volume@snapshot", &[]);
            for recipe in part {
                let (here, logical) = add(&mut builder, *recipe);
                payload += here;
                data += logical;
                counts[recipe.0 as usize] += 1;
            }
            builder.end(100 + number as u64);
        }
        if is_compound {
            builder.end_all();
        }
        let stream = &mut builder.bytes;
        let (taken, _, outcome) = parse(stream, &pieces, Sums::Check);
        let summary = outcome.unwrap();
        prop_assert_eq!((taken, summary.length), (stream.len(), stream.len() as u64));
        prop_assert_eq!((summary.order, summary.is_compound), (order, is_compound));
        prop_assert_eq!((summary.payload, summary.logical), (payload as u64, data));
        prop_assert_eq!(summary.part_count, parts.len() as u64);
        for kind in RecordKind::ALL {
            if !matches!(kind, RecordKind::Begin | RecordKind::End) {
                prop_assert_eq!(summary.records.of(kind), counts[kind as usize]);
            }
        }
        let begin = &summary.parts()[0].begin;
        prop_assert_eq!((begin.kind, begin.to_guid, begin.from_guid), (DatasetKind::Volume, 100, 7));
        prop_assert_eq!(parse(stream, &pieces, Sums::Skip).2.unwrap(), summary);
        let at = flip.index(stream.len());
        stream[at] ^= 0x10;
        let (taken, _, outcome) = parse(stream, &pieces, Sums::Check);
        prop_assert!(outcome.is_err() || taken < stream.len(), "a flip of byte {} is not found", at);
    }

    #[test]
    fn any_bytes_get_an_answer(
        stream in 0..REAL.len(),
        changes in vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 0..4),
        piece in 1_usize..5000,
    ) {
        let mut stream = real(REAL[stream]);
        for (at, bytes) in changes {
            let at = at.index(stream.len() - 4);
            stream[at..at + 4].copy_from_slice(&bytes);
        }
        stream_contract::check(&stream, piece);
    }

    #[test]
    fn garbage_is_no_stream(bytes in vec(any::<u8>(), 0..700), piece in 1_usize..50) {
        stream_contract::check(&bytes, piece);
    }
}

fn begun(version: u64) -> Builder {
    let mut builder = Builder::new(ByteOrder::Little, true);
    builder.begin(version, 2, (5, 0), "a@b", &[]);
    builder
}

fn reason(builder: &Builder) -> Reason {
    let (.., skipped) = parse(&builder.bytes, &[], Sums::Skip);
    let error = parse(&builder.bytes, &[], Sums::Check).2.unwrap_err();
    assert_eq!(skipped.unwrap_err(), error);
    error.reason
}

#[test]
fn lengths_have_limits() {
    for (logical, compression, compressed, expected) in [
        ((16 << 20) + 4, 0, 0, Reason::TooLong { length: (16 << 20) + 4, most: 16 << 20 }),
        (u64::MAX, 0, 0, Reason::TooLong { length: u64::MAX, most: 16 << 20 }),
        (512, 1, u64::MAX - 3, Reason::TooLong { length: u64::MAX - 3, most: 16 << 20 }),
        (u64::MAX, 1, 512, Reason::TooLong { length: u64::MAX, most: 16 << 20 }),
        (510, 0, 0, Reason::NotInWords(510)),
    ] {
        let mut builder = begun(1);
        let (logical, compressed) = (builder.u64(logical), builder.u64(compressed));
        builder.record(3, &[(32, &logical), (50, &[compression]), (96, &compressed)], &[]);
        assert_eq!(reason(&builder), expected);
    }
    let mut builder = begun(1);
    let stored = builder.u32(u32::MAX);
    builder.record(8, &[(52, &stored)], &[]);
    assert_eq!(reason(&builder), Reason::TooLong { length: 1 << 32, most: 112 });
}

#[test]
fn records_have_their_places() {
    let mut builder = begun(1);
    builder.record(11, &[], &[]);
    assert_eq!(reason(&builder), Reason::UnknownKind(11));
    let mut builder = begun(1);
    builder.begin(1, 2, (6, 0), "a@b", &[]);
    assert_eq!(reason(&builder), Reason::OutOfPlace(RecordKind::Begin));
    let mut builder = begun(2);
    builder.write(0, 0, &[]);
    assert_eq!(reason(&builder), Reason::OutOfPlace(RecordKind::Write));
    let mut builder = begun(2);
    builder.end(5);
    builder.begin(2, 2, (6, 0), "a@b", &[]);
    assert_eq!(reason(&builder), Reason::OutOfPlace(RecordKind::Begin));
    let mut builder = begun(1);
    builder.end(6);
    assert_eq!(reason(&builder), Reason::OtherGuid { begin: 5, end: 6 });
    let mut builder = begun(2);
    builder.end(5);
    builder.record(5, &[(100, &[1])], &[]);
    assert_eq!(reason(&builder), Reason::NotZero);
    let mut builder = begun(2);
    builder.end(5);
    builder.record(0, &[], &[]);
    assert_eq!(reason(&builder), Reason::NoMagic);
}

#[test]
fn features_and_names_are_read() {
    let mut builder = Builder::new(ByteOrder::Big, false);
    let name = "x".repeat(255);
    builder.begin(1 | (1 << 20 | 1 << 24 | 1 << 40) << 2, 9, (5, 0), &name, &[0; 64]);
    builder.end(5);
    let summary = parse(&builder.bytes, &[1], Sums::Check).2.unwrap();
    let begin = &summary.parts()[0].begin;
    assert!(begin.is_resuming() && begin.features.contains(Feature::Raw));
    assert_eq!((begin.features.unknown_bits(), begin.kind), (1 << 40, DatasetKind::Other(9)));
    assert_eq!(begin.name, name);
}

#[test]
fn a_summary_of_many_parts_is_small() {
    let mut builder = begun(2);
    builder.end(5);
    for guid in 0..1000 {
        builder.begin(1, 2, (guid, 0), "a@b", &[]);
        builder.write(8, 0, &[3; 8]);
        builder.end(guid);
    }
    builder.end_all();
    let summary = parse(&builder.bytes, &[], Sums::Check).2.unwrap();
    assert_eq!((summary.part_count, summary.parts().len()), (1000, MAX_PARTS));
    assert!(summary.parts().iter().all(|part| part.length == 312 * 3 + 8 && part.logical == 8));
    assert_eq!(summary.logical, 8000);
}
