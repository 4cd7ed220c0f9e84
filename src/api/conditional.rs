// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Conditional requests (RFC 9110, section 13), based on the entity tag and the time of the response.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, header};

use super::reply::etag;
use crate::images::{ApiError, ApiResult, Code, Precondition};
use crate::manifest::{ApiForm, times};

/// The validators of a resource's current representation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// The entity tag, without quotes.
    pub(super) etag: &'a str,
    /// When it was last modified, if known.
    pub(super) modified: Option<SystemTime>,
}

/// The answer to a read whose conditions hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The representation.
    Send,
    /// 304: the client has the current representation.
    NotModified,
}

/// Evaluates the conditions of a read.
pub(super) fn read(headers: &HeaderMap, current: Validators<'_>) -> ApiResult<Outcome> {
    check_match(headers, current)?;
    let unchanged = match header_list(headers, header::IF_NONE_MATCH) {
        Some(tags) => matches(&tags, current.etag),
        None => current.modified.is_some_and(|modified| {
            time(headers, header::IF_MODIFIED_SINCE).is_some_and(|since| seconds(modified) <= seconds(since))
        }),
    };
    Ok(if unchanged { Outcome::NotModified } else { Outcome::Send })
}

/// Evaluates the conditions of a change: 412 unless they hold.
fn write(headers: &HeaderMap, current: Validators<'_>) -> ApiResult<()> {
    check_match(headers, current)?;
    match header_list(headers, header::IF_NONE_MATCH) {
        Some(tags) if matches(&tags, current.etag) => Err(failed(&header::IF_NONE_MATCH, &tags)),
        _ => Ok(()),
    }
}

/// Returns whether a `Range` applies: without `If-Range`, or if that names the current representation.
pub(super) fn range_applies(headers: &HeaderMap, current: Validators<'_>) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else { return true };
    let Ok(condition) = condition.to_str() else { return false };
    match httpdate::parse_http_date(condition) {
        Ok(time) => current.modified.is_some_and(|modified| seconds(modified) == seconds(time)),
        // A weak tag does not mean that the bytes are the same.
        Err(_) => !condition.starts_with("W/") && unquoted(condition) == current.etag,
    }
}

/// Returns the conditions of a change of an image, for the tag of the version that is changed. `form` is the form in
/// which the client sees the image.
pub(super) fn precondition(headers: &HeaderMap, form: ApiForm) -> Precondition {
    let conditions: HeaderMap = [header::IF_MATCH, header::IF_NONE_MATCH]
        .into_iter()
        .flat_map(|name| headers.get_all(&name).iter().map(move |value| (name.clone(), value.clone())))
        .collect();
    if conditions.is_empty() {
        return Precondition::default();
    }
    Precondition::new(move |image| {
        write(&conditions, Validators { etag: &etag(image, &form)?, modified: None })
    })
}

fn check_match(headers: &HeaderMap, current: Validators<'_>) -> ApiResult<()> {
    if let Some(tags) = header_list(headers, header::IF_MATCH) {
        return if matches(&tags, current.etag) { Ok(()) } else { Err(failed(&header::IF_MATCH, &tags)) };
    }
    match (current.modified, time(headers, header::IF_UNMODIFIED_SINCE)) {
        (Some(modified), Some(since)) if seconds(modified) > seconds(since) => {
            let since = header_list(headers, header::IF_UNMODIFIED_SINCE).unwrap_or_default();
            Err(failed(&header::IF_UNMODIFIED_SINCE, &since))
        }
        _ => Ok(()),
    }
}

fn failed(name: &HeaderName, value: &str) -> ApiError {
    ApiError::new(Code::PreconditionFailed, format!("{name} '{value}' does not hold"))
}

fn header_list(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    Some(values.join(",")).filter(|tags| !tags.is_empty())
}

/// Tags may be sent with or without quotes and `W/`, because 4.13.1 sends its own without.
fn matches(tags: &str, etag: &str) -> bool {
    let mut rest = tags;
    while let Some(tag) = next_tag(&mut rest) {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        if strong == "*" || unquoted(strong) == etag {
            return true;
        }
    }
    false
}

/// Removes the next element from a list. A comma within quotes is part of the tag.
fn next_tag<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let list = rest.trim_start_matches([' ', '\t', ',']);
    let mut quoted = false;
    let end = list.find(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let (tag, after) = list.split_at(end.unwrap_or(list.len()));
    *rest = after;
    (!tag.is_empty()).then(|| tag.trim_end())
}

fn unquoted(tag: &str) -> &str {
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

fn time(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let text = headers.get(name)?.to_str().ok()?;
    let lenient = || times::parse_js_date(text).map(SystemTime::from);
    httpdate::parse_http_date(text).ok().or_else(lenient)
}

/// HTTP dates have a resolution of seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn current() -> Validators<'static> {
        Validators { etag: "abc", modified: Some(httpdate::parse_http_date(MODIFIED).unwrap()) }
    }

    fn outcome(pairs: &[(&'static str, &str)]) -> Result<Outcome, Code> {
        read(&headers(pairs), current()).map_err(|error| error.code())
    }

    #[test]
    fn a_read_with_the_current_tag_or_time_is_not_modified() {
        for tag in
            ["abc", "\"abc\"", "W/\"abc\"", "*", "x, \"abc\"", "\"a,b\" , W/\"abc\"", ",abc,", "x,\tabc"]
        {
            assert_eq!(outcome(&[("if-none-match", tag)]), Ok(Outcome::NotModified), "{tag}");
        }
        for tag in
            ["x", "\"a,b\", \"x,abc\"", "\"x, abc ,y\"", "\"abc", "\"x\", \"abc, y\"", ",,", "W/\"a,abc\""]
        {
            assert_eq!(outcome(&[("if-none-match", tag)]), Ok(Outcome::Send), "{tag}");
        }
        assert_eq!(outcome(&[("if-modified-since", MODIFIED)]), Ok(Outcome::NotModified));
        assert_eq!(outcome(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]), Ok(Outcome::Send));
        assert_eq!(outcome(&[("if-modified-since", "yesterday")]), Ok(Outcome::Send));
        // A tag takes precedence over a time.
        assert_eq!(outcome(&[("if-none-match", "x"), ("if-modified-since", MODIFIED)]), Ok(Outcome::Send));
    }

    #[test]
    fn a_range_applies_to_the_representation_that_it_is_meant_for() {
        let applies = |value: &str| range_applies(&headers(&[("if-range", value)]), current());
        for same in ["abc", "\"abc\"", MODIFIED] {
            assert!(applies(same), "{same}");
        }
        let others =
            ["x", "W/\"abc\"", "*", "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", ""];
        for other in others {
            assert!(!applies(other), "{other}");
        }
        assert!(range_applies(&HeaderMap::new(), current()));
        let undated = Validators { etag: "abc", modified: None };
        assert!(!range_applies(&headers(&[("if-range", MODIFIED)]), undated));
    }

    #[test]
    fn a_failed_precondition_is_412() {
        for tag in ["", "W/*"] {
            assert_eq!(outcome(&[("if-match", tag)]), Ok(Outcome::Send), "{tag:?}");
        }
        assert_eq!(outcome(&[("if-match", "x")]), Err(Code::PreconditionFailed));
        assert_eq!(outcome(&[("if-match", "abc")]), Ok(Outcome::Send));
        let before = [("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")];
        assert_eq!(outcome(&before), Err(Code::PreconditionFailed));
        let long_before = [("if-unmodified-since", "Thu, 02 Jan 1950 03:04:05 GMT")];
        assert_eq!(outcome(&long_before), Err(Code::PreconditionFailed));
        let conditions = headers(&[("if-none-match", "abc")]);
        assert_eq!(write(&conditions, current()).unwrap_err().code(), Code::PreconditionFailed);
        assert!(write(&headers(&[("if-none-match", "x"), ("if-match", "*")]), current()).is_ok());
    }
}
