// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Byte ranges (RFC 9110, section 14). A request may ask for one range of a file.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// The part of a file that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: there is no range, or none that has to be applied.
    All,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Only bytes that the file does not have.
    Unsatisfiable,
}

/// Reads the `Range` header of a GET for a file of `size` bytes.
///
/// Several ranges, other units and malformed values are ignored, as the RFC allows: the client then gets the whole file.
pub(super) fn wanted(headers: &HeaderMap, size: u64) -> Wanted {
    let mut values = headers.get_all(header::RANGE).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => parse(value, size).unwrap_or(Wanted::All),
        _ => Wanted::All,
    }
}

/// Returns `None` for a range that is ignored.
fn parse(value: &str, size: u64) -> Option<Wanted> {
    let (unit, range) = value.split_once('=')?;
    let (first, last) = range.trim_matches([' ', '\t']).split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (first, last) {
        ("", length) => size.saturating_sub(number(length)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..size.min(last.saturating_add(1))
        }
    };
    Some(if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) })
}

/// Parses digits. A number that is too large for any file has the same effect as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: &str, size: u64) -> Wanted {
        wanted(&HeaderMap::from_iter([(header::RANGE, value.parse().unwrap())]), size)
    }

    #[test]
    fn one_range_of_bytes_is_honoured() {
        let cases = [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("bytes=5-99", 5..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("Bytes= 0-9\t", 0..10),
        ];
        for (value, range) in cases {
            assert_eq!(of(value, 10), Wanted::Part(range), "{value}");
        }
    }

    #[test]
    fn bytes_behind_the_end_are_unsatisfiable() {
        for value in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(value, 10), Wanted::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn everything_else_is_ignored() {
        let values = [
            "bytes=0-1,3-4",
            "bytes=0-1,",
            "items=0-1",
            "bytes 0-1",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=-",
            "bytes=",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0x1-2",
            "",
        ];
        for value in values {
            assert_eq!(of(value, 10), Wanted::All, "{value}");
        }
        let mut headers = HeaderMap::new();
        for value in ["bytes=0-1", "bytes=2-3"] {
            headers.append(header::RANGE, value.parse().unwrap());
        }
        assert_eq!(wanted(&headers, 10), Wanted::All);
        assert_eq!(wanted(&HeaderMap::new(), 10), Wanted::All);
    }

    proptest! {
        /// The definition in the RFC, applied to each byte.
        #[test]
        fn a_range_is_the_positions_that_it_names(first in 0u64..40, last in 0u64..40, size in 0u64..30) {
            let check = |value: String, named: Vec<u64>| {
                let expected = match (named.first(), named.last()) {
                    (Some(first), Some(last)) => Wanted::Part(*first..last + 1),
                    _ => Wanted::Unsatisfiable,
                };
                prop_assert_eq!(of(&value, size), expected, "{} of {}", value, size);
                Ok(())
            };
            if first <= last {
                check(format!("bytes={first}-{last}"), (0..size).filter(|at| (first..=last).contains(at)).collect())?;
            }
            check(format!("bytes={first}-"), (0..size).filter(|at| *at >= first).collect())?;
            check(format!("bytes=-{last}"), (0..size).filter(|at| size - at <= last).collect())?;
        }

        #[test]
        fn no_header_leads_outside_of_the_file(value in "(bytes=)?[0-9, -]{0,30}", size: u64) {
            if let Wanted::Part(range) = of(&value, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
