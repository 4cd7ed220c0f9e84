// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One range of bytes (RFC 9110, section 14).

use hyper::HeaderMap;
use hyper::header::RANGE;

use super::error::MantaError;

/// A range of bytes of an object, without its end.
pub(super) type Span = std::ops::Range<u64>;

/// Returns the requested range of an object of this size; `None` for the whole object. Units other than bytes are ignored.
///
/// # Errors
///
/// `NotImplemented` for several ranges; `RangeNotSatisfiable` if the range is malformed or lies outside the object.
pub(super) fn requested(headers: &HeaderMap, size: u64) -> Result<Option<Span>, MantaError> {
    let Some(value) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    if value.contains(',') {
        return Err(MantaError::NotImplemented("multi-range requests not supported"));
    }
    let Some(range) = value.trim().strip_prefix("bytes=") else { return Ok(None) };
    let span = parse(range, size).filter(|span| !span.is_empty());
    match span {
        Some(span) => Ok(Some(span)),
        None => Err(MantaError::RangeNotSatisfiable { range: value.to_owned(), size }),
    }
}

fn parse(range: &str, size: u64) -> Option<Span> {
    let (first, last) = range.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", suffix) => Some(size.saturating_sub(suffix.parse().ok()?)..size),
        (first, "") => Some(first.parse().ok()?..size),
        (first, last) => Some(first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?.min(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(range: &str) -> Result<Option<Span>, MantaError> {
        requested(&HeaderMap::from_iter([(RANGE, range.parse().unwrap())]), 10)
    }

    #[test]
    fn one_range_is_cut_out() {
        for (range, span) in [
            ("bytes=0-0", 0..1),
            ("bytes=3-", 3..10),
            ("bytes=-4", 6..10),
            ("bytes=-40", 0..10),
            ("bytes=8-99", 8..10),
        ] {
            assert_eq!(of_ten(range).unwrap(), Some(span), "{range}");
        }
        assert_eq!(of_ten("lines=1-2").unwrap(), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for range in
            ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=x-1", "bytes=", "bytes=0-18446744073709551615x"]
        {
            assert!(matches!(of_ten(range), Err(MantaError::RangeNotSatisfiable { .. })), "{range}");
        }
        assert!(matches!(of_ten("bytes=0-1,3-4"), Err(MantaError::NotImplemented(_))));
    }
}
