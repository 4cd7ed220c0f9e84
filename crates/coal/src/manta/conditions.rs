// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Conditional requests, with the peculiarities of Manta's HTTP library.
//!
//! An etag is compared as it is sent in `etag`: without quotes. Quotes are removed only around letters, digits and underscores.
//! So `""` is the etag of a missing object, and a quoted UUID matches nothing. `*` matches a missing object, too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use super::error::MantaError;
use super::store::Entry;

/// The result of checking a request's conditions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request is done.
    Go,
    /// The caller already has the object; the answer is 304.
    NotModified,
}

/// Returns whether the request names an etag, so that a change must find the entry just as it was when the conditions were
/// checked.
pub(super) fn names_a_tag(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH)
}

/// Checks the conditions against the stored entry.
///
/// # Errors
///
/// `PreconditionFailed` if a condition does not hold.
pub(super) fn check(
    headers: &HeaderMap,
    entry: Option<&Entry>,
    is_read: bool,
) -> Result<Verdict, MantaError> {
    let tag = entry.and_then(|entry| entry.object.as_ref()).map_or("", |object| object.etag.as_str());
    if let Some(wanted) = text(headers, &IF_MATCH)
        && !matches(wanted, tag)
    {
        return Err(MantaError::PreconditionFailed(format!("if-match '{wanted}' didn't match etag '{tag}'")));
    }
    if let Some(unwanted) = text(headers, &IF_NONE_MATCH)
        && matches(unwanted, tag)
    {
        let failed = format!("if-none-match '{unwanted}' matched etag '{tag}'");
        return if is_read { Ok(Verdict::NotModified) } else { Err(MantaError::PreconditionFailed(failed)) };
    }
    let Some(modified) = entry.map(|entry| modified(entry.modified_ms)) else { return Ok(Verdict::Go) };
    let date = |name| text(headers, name).and_then(|value| httpdate::parse_http_date(value).ok());
    let shown = httpdate::fmt_http_date(modified);
    if date(&IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        let failed = format!("object was modified at '{shown}'");
        return if is_read { Ok(Verdict::NotModified) } else { Err(MantaError::PreconditionFailed(failed)) };
    }
    if date(&IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Err(MantaError::PreconditionFailed(format!("object was modified at '{shown}'")));
    }
    Ok(Verdict::Go)
}

/// Returns the time for `last-modified`, in HTTP's whole seconds.
pub(super) fn modified(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(milliseconds / 1000)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

fn matches(tags: &str, tag: &str) -> bool {
    tags.split(',').map(|one| bare(one.trim())).any(|one| one == "*" || one == tag)
}

fn bare(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner
        .filter(|inner| inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manta::store::Object;

    const TAG: &str = "5b4d3b8e-0f6c-4f0e-8a54-6f1f5d9f7a11";

    fn object() -> Entry {
        let object = Object { etag: TAG.to_owned(), ..Object::default() };
        Entry { modified_ms: 1_704_164_645_678, ..Entry::object(object, Vec::new()) }
    }

    /// Returns whether a change with this header is done.
    fn goes(name: HeaderName, value: &str, entry: Option<&Entry>) -> bool {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        check(&headers, entry, false).is_ok()
    }

    #[test]
    fn tags() {
        let object = object();
        let there = Some(&object);
        assert!(goes(IF_MATCH, TAG, there) && goes(IF_MATCH, &format!("x, {TAG}"), there));
        assert!(!goes(IF_MATCH, "other", there) && !goes(IF_MATCH, &format!("\"{TAG}\""), there));
        assert!(goes(IF_MATCH, "\"\"", None) && !goes(IF_MATCH, "\"\"", there));
        assert!(!goes(IF_NONE_MATCH, TAG, there) && goes(IF_NONE_MATCH, TAG, None));
        assert!(goes(IF_MATCH, "*", None) && !goes(IF_NONE_MATCH, "*", None));
    }

    #[test]
    fn dates() {
        let object = object();
        let there = Some(&object);
        let (at, before) = ("Tue, 02 Jan 2024 03:04:05 GMT", "Tue, 02 Jan 2024 03:04:04 GMT");
        assert!(goes(IF_UNMODIFIED_SINCE, at, there) && !goes(IF_UNMODIFIED_SINCE, before, there));
        let headers = HeaderMap::from_iter([(IF_MODIFIED_SINCE, at.parse().unwrap())]);
        assert_eq!(check(&headers, there, true).unwrap(), Verdict::NotModified);
        let headers = HeaderMap::from_iter([(IF_MODIFIED_SINCE, before.parse().unwrap())]);
        assert_eq!(check(&headers, there, true).unwrap(), Verdict::Go);
    }
}
