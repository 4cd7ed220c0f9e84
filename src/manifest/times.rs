// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Times in manifests and markers: formatting and parsing as JavaScript does it.

use time::format_description::well_known::{Iso8601, Rfc2822};
use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Formats a time like `Date.prototype.toISOString`: UTC with milliseconds, `2012-11-02T22:46:45.992Z`.
pub fn iso_millis(time: OffsetDateTime) -> String {
    let utc = time.to_offset(UtcOffset::UTC);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        utc.year(),
        u8::from(utc.month()),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second(),
        utc.millisecond()
    )
}

/// Length of a `published_at` without milliseconds.
const SECONDS_LEN: usize = 20;

/// Returns whether a string has the form of `published_at`: `YYYY-MM-DDTHH:MM:SS[.mmm]Z`.
///
/// As in 4.13.1, only the form is checked. The date need not exist in the calendar.
pub fn is_published_at(text: &str) -> bool {
    let form: &[u8] = match text.len() {
        SECONDS_LEN => b"0000-00-00T00:00:00Z",
        24 => b"0000-00-00T00:00:00.000Z",
        _ => return false,
    };
    text.bytes()
        .zip(form)
        .all(|(byte, like)| if *like == b'0' { byte.is_ascii_digit() } else { byte == *like })
}

/// A time of publication: the digits of its text, `YYYYMMDDhhmmssmmm`, as a number. Two texts that differ only in that
/// one has no milliseconds may be the same moment.
///
/// The calendar is not checked here either, so that every `published_at` has a moment. Moments sort as their texts do,
/// except within one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// No moment is before this one.
    pub const FIRST: Moment = Moment(0);
    /// No moment is after this one.
    pub const LAST: Moment = Moment(99_999_999_999_999_999);

    /// Returns the moment of a `published_at`; `None` if the text has another form.
    pub fn of_published_at(text: &str) -> Option<Moment> {
        if !is_published_at(text) {
            return None;
        }
        let digits = text.bytes().filter(u8::is_ascii_digit);
        let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        Some(Moment(if text.len() == SECONDS_LEN { number * 1000 } else { number }))
    }

    /// Returns the prefix that all times in the second of this moment share: `YYYY-MM-DDThh:mm:ss`.
    pub fn second(self) -> String {
        let digits = format!("{:014}", self.0 / 1000);
        let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14].map(|part| &digits[part]);
        let [year, month, day, hour, minute, second] = parts;
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}")
    }
}

/// `Date.parse` for the usual forms: `2020`, `2020-01`, `2020-01-02`, ISO 8601 times with or without seconds, fraction
/// and offset, and RFC 1123.
///
/// A time without an offset is taken as UTC, the time zone of every Triton zone. The result is in UTC, and in the years
/// 0 to 9999, which four digits can express.
pub fn parse_js_date(text: &str) -> Option<OffsetDateTime> {
    let utc = parse_with_offset(text)?.checked_to_offset(UtcOffset::UTC)?;
    (0..=9999).contains(&utc.year()).then_some(utc)
}

fn parse_with_offset(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    match text.split_once(['T', 't', ' ']) {
        _ if !text.starts_with(|c: char| c.is_ascii_digit()) => OffsetDateTime::parse(text, &Rfc2822).ok(),
        None => Some(parse_day(text)?.midnight().assume_utc()),
        Some((day, clock)) => {
            let (clock, offset) = split_offset(clock)?;
            let moment = PrimitiveDateTime::new(parse_full_day(day)?, parse_clock(clock)?);
            Some(moment.assume_offset(offset))
        }
    }
}

/// `2020`, `2020-01` or `2020-01-02`.
fn parse_day(text: &str) -> Option<Date> {
    match text.len() {
        4 => Date::from_calendar_date(digits(text)?, Month::January, 1).ok(),
        7 => parse_full_day(&format!("{text}-01")),
        _ => parse_full_day(text),
    }
}

fn parse_full_day(text: &str) -> Option<Date> {
    let shaped =
        text.len() == 10 && text.is_ascii() && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if !shaped {
        return None;
    }
    // JavaScript gives every month 31 days: the 31st of November is the 1st of December.
    let first = Date::parse(&format!("{}-01", &text[..7]), &Iso8601::DATE).ok()?;
    let day = two_digits(&text[8..])?;
    if !(1..=31).contains(&day) {
        return None;
    }
    first.checked_add(Duration::days(i64::from(day) - 1))
}

/// Parses `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`. Digits beyond milliseconds are dropped.
fn parse_clock(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let hour = two_digits(parts.next()?)?;
    let minute = two_digits(parts.next()?)?;
    let second = match parts.next() {
        Some(second) => two_digits(second)?,
        None if whole.len() == text.len() => 0,
        None => return None,
    };
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis = digits::<u16>(&format!("{fraction:0<3}")[..3])?;
    Time::from_hms_milli(hour, minute, second, millis).ok()
}

/// Splits `Z`, `+HH:MM` or `+HHMM` off a clock time.
fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, UtcOffset::UTC));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, UtcOffset::UTC));
    };
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let offset = offset[1..].replace(':', "");
    let (hours, minutes) = offset.split_at_checked(2)?;
    let hours = i8::try_from(two_digits(hours)?).ok()?;
    let minutes = i8::try_from(two_digits(minutes)?).ok()?;
    Some((clock, UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?))
}

fn two_digits(text: &str) -> Option<u8> {
    if text.len() == 2 { digits(text) } else { None }
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Returns the current time in the form that manifests use.
pub fn now() -> String {
    iso_millis(OffsetDateTime::now_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_javascript_reads_them() {
        for (text, expected) in [
            ("2020", "2020-01-01T00:00:00.000Z"),
            ("2020-03", "2020-03-01T00:00:00.000Z"),
            ("2020-03-04", "2020-03-04T00:00:00.000Z"),
            ("2020-02-31", "2020-03-02T00:00:00.000Z"),
            ("2020-03-04T05:06Z", "2020-03-04T05:06:00.000Z"),
            ("2020-03-04T05:06", "2020-03-04T05:06:00.000Z"),
            ("2020-03-04 05:06:07", "2020-03-04T05:06:07.000Z"),
            ("2020-03-04T05:06:07Z", "2020-03-04T05:06:07.000Z"),
            ("2020-03-04T05:06:07.8Z", "2020-03-04T05:06:07.800Z"),
            ("2020-03-04T05:06:07.891Z", "2020-03-04T05:06:07.891Z"),
            ("2020-03-04T05:06:07.891999Z", "2020-03-04T05:06:07.891Z"),
            ("2020-03-04T05:06:07+02:00", "2020-03-04T03:06:07.000Z"),
            ("2020-03-04T05:06:07-0130", "2020-03-04T06:36:07.000Z"),
            ("Wed, 04 Mar 2020 05:06:07 GMT", "2020-03-04T05:06:07.000Z"),
            ("Wed, 04 Mar 2020 05:06:07 +0100", "2020-03-04T04:06:07.000Z"),
        ] {
            assert_eq!(parse_js_date(text).map(iso_millis).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "x",
            "202",
            "2020-13",
            "2020-02-32",
            "2020-02-00",
            "2020-1-2T00:00",
            "2020-01-02T",
            "2020-01-02T5:06",
            "2020-01-02T05:06.5",
            "2020-01-02T05:06:07.Z",
            "2020-01-02T25:00",
            "2020-01-02T05:06:07+2",
            "2020-01-02T05:06:07+é",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "20é0-01-02",
            "2020-01-0é",
            "1577836800000",
        ] {
            assert_eq!(parse_js_date(text), None, "{text}");
        }
    }

    #[test]
    fn published_at_has_seconds_and_perhaps_milliseconds() {
        assert!(is_published_at("2012-11-02T22:46:45Z"));
        assert!(is_published_at("2012-11-02T22:46:45.992Z"));
        for bad in ["2012-11-02", "2012-11-02T22:46Z", "2012-11-02T22:46:45.9Z", "2012-11-02T22:46:45+00", ""]
        {
            assert!(!is_published_at(bad), "{bad}");
        }
    }

    #[test]
    fn moments_are_ordered_by_time() {
        let moment = |text| Moment::of_published_at(text).unwrap();
        assert_eq!(moment("2012-11-02T22:46:45Z"), moment("2012-11-02T22:46:45.000Z"));
        let ordered = [
            "0000-00-00T00:00:00Z",
            "2012-11-02T22:46:45Z",
            "2012-11-02T22:46:45.250Z",
            "2012-11-02T22:46:46.000Z",
            "2012-11-31T22:46:46Z",
            "2012-99-02T22:46:45Z",
            "9999-99-99T99:99:99.999Z",
        ];
        assert!(ordered.map(moment).is_sorted_by(|a, b| a < b));
        assert_eq!((moment(ordered[0]), moment(ordered[6])), (Moment::FIRST, Moment::LAST));
        assert_eq!(Moment::of_published_at("2012-11-02"), None);
        assert_eq!(moment("2012-01-02T03:04:05.678Z").second(), "2012-01-02T03:04:05");
        assert_eq!(Moment::FIRST.second(), "0000-00-00T00:00:00");
    }
}
