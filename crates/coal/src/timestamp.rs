// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Dates in JavaScript's format.

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::macros::format_description;

/// Returns the current time as `2026-01-01T00:00:00.000Z`.
pub(crate) fn now() -> String {
    iso(OffsetDateTime::now_utc())
}

/// Formats a time as `2026-01-01T00:00:00.000Z`.
pub(crate) fn iso(time: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.format(form).unwrap_or_default()
}

/// Parses a number of milliseconds since 1970, or a date, to milliseconds since 1970.
pub(crate) fn millis(value: &str) -> Option<i64> {
    if let Ok(millis) = value.parse::<i64>() {
        return Some(millis);
    }
    let time = OffsetDateTime::parse(value, &Iso8601::DEFAULT).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_javascript() {
        assert_eq!(millis("1970-01-01T00:00:01.500Z"), Some(1_500));
        assert_eq!(millis("1500"), Some(1_500));
        assert_eq!(iso(OffsetDateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
