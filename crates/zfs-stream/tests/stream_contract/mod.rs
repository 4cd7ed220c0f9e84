// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What must hold for the parser on any input. A property test and the fuzz target share this check.

use zfs_stream::{Error, Event, Parser, Summary, Sums};

/// What a parser says of a stream: the bytes that it took, the number of events, and the result.
type Outcome = (usize, usize, Result<Summary, Error>);

/// Feeds `bytes` in pieces of these lengths, in turn.
pub(crate) fn parse(bytes: &[u8], pieces: &[usize], sums: Sums) -> Outcome {
    let mut parser = Parser::new(sums);
    let (mut rest, mut taken, mut events) = (bytes, 0, 0);
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |length| (*length).clamp(1, rest.len()));
        let (piece, others) = rest.split_at(length);
        rest = others;
        let count = |event: Event<'_>| {
            events += usize::from(matches!(event, Event::Begin(_) | Event::Record(_) | Event::End(_)))
        };
        match parser.feed(piece, count) {
            Ok(here) => {
                assert!(here == piece.len() || parser.is_complete(), "bytes are left out");
                taken += here;
            }
            Err(error) => {
                assert_eq!(parser.feed(piece, |_| ()), Err(error.clone()), "an error goes away");
                return (taken, events, Err(error));
            }
        }
    }
    (taken, events, parser.finish())
}

/// Panics if the result depends on how the bytes are cut into pieces, or contradicts itself.
pub(crate) fn check(bytes: &[u8], piece: usize) {
    for sums in [Sums::Check, Sums::Skip] {
        let (taken, events, outcome) = parse(bytes, &[piece], sums);
        let (taken_whole, events_whole, outcome_whole) = parse(bytes, &[bytes.len()], sums);
        assert_eq!((events, &outcome), (events_whole, &outcome_whole));
        match outcome {
            Ok(summary) => {
                assert_eq!(taken, taken_whole);
                assert_eq!(summary.length, taken as u64);
                assert_eq!(summary.records.total(), events as u64);
                assert_eq!(summary.length, summary.payload + 312 * summary.records.total());
            }
            Err(error) => assert!(error.offset <= bytes.len() as u64, "{error}"),
        }
    }
}
