// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listings of directories: the query, and the lines of the answer.

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Response, StatusCode, Uri};
use serde::Serialize;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::answer::{self, Answer, set};
use super::error::MantaError;
use super::path::AREAS;
use super::store::{Entry, Order, Page};

/// The content type of a listing, and of a directory.
pub(super) const LIST_TYPE: &str = "application/x-json-stream; type=directory";
/// Default number of entries of a page.
const DEFAULT_LIMIT: u32 = 256;
/// Maximum number of entries of a page.
const MAX_LIMIT: u32 = 1024;
/// Creation time of the areas: Manta's birthday.
const BEGINNING: &str = "2013-05-22T17:39:43.714Z";

/// The format in which JavaScript writes a date.
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A line of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<&'a str>,
    #[serde(rename = "contentMD5", skip_serializing_if = "Option::is_none")]
    content_md5: Option<&'a str>,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<u32>,
}

/// Parses the query of a listing. Unknown parameters are ignored.
pub(super) fn page(uri: &Uri, is_operator: bool) -> Result<Page, MantaError> {
    let mut page = Page { limit: DEFAULT_LIMIT, ..Page::default() };
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match (name.as_ref(), value.as_ref()) {
            ("limit", text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                page.limit = limit.ok_or_else(|| MantaError::InvalidLimit(text.to_owned()))?;
            }
            ("marker", text) if !text.is_empty() => page.marker = Some(text.to_owned()),
            ("sort", "mtime") => page.order = Order::Modified,
            // Here an unsorted listing is sorted as well.
            ("sort", "none") if !is_operator => {
                return Err(MantaError::QueryParameterForbidden("sort=none"));
            }
            ("sort_order", order) => page.reverse = order == "reverse",
            ("dir" | "directory", _) => page.directories = Some(true),
            ("obj" | "object", _) => page.directories = Some(false),
            _ => {}
        }
    }
    if page.order == Order::Modified {
        page.marker = page.marker.map(|marker| milliseconds(&marker)).transpose()?;
    }
    Ok(page)
}

fn milliseconds(marker: &str) -> Result<String, MantaError> {
    let invalid = |_| MantaError::InvalidParameter { name: "marker", value: marker.to_owned() };
    let date = OffsetDateTime::parse(marker, &Rfc3339).map_err(invalid)?;
    Ok((date.unix_timestamp_nanos() / 1_000_000).to_string())
}

/// Returns the answer with these entries; `count` is the number of entries of the whole directory.
pub(super) fn list(entries: &[(String, Entry)], count: u64) -> Answer {
    let lines = entries.iter().map(|(name, entry)| {
        let object = entry.object.as_ref();
        Line {
            name,
            etag: object.map(|object| object.etag.as_str()),
            size: object.map(|object| object.size),
            r#type: if object.is_some() { "object" } else { "directory" },
            content_type: object.map(|object| object.content_type.as_str()),
            content_disposition: object.and_then(|object| object.disposition.as_deref()),
            content_md5: object.map(|object| object.md5.as_str()),
            mtime: iso(entry.modified_ms),
            durability: object.map(|object| object.copies),
        }
    });
    with_lines(lines, count)
}

/// Returns the listing of an account's areas.
pub(super) fn areas() -> Answer {
    let line = |name| Line {
        name,
        etag: None,
        size: None,
        r#type: "directory",
        content_type: None,
        content_disposition: None,
        content_md5: None,
        mtime: BEGINNING.to_owned(),
        durability: None,
    };
    with_lines(AREAS.into_iter().map(line), AREAS.len() as u64)
}

/// Adds the headers of a listing, which are the same for HEAD.
pub(super) fn describe(headers: &mut HeaderMap, count: u64) {
    set(headers, CONTENT_TYPE, LIST_TYPE);
    set(headers, hyper::header::HeaderName::from_static("result-set-size"), &count.to_string());
}

fn with_lines<'a>(lines: impl Iterator<Item = Line<'a>>, count: u64) -> Answer {
    let text: String = lines
        .filter_map(|line| serde_json::to_string(&line).ok())
        .flat_map(|line| [line, "\n".to_owned()])
        .collect();
    let mut answer: Response<_> = answer::full(StatusCode::OK, LIST_TYPE, text);
    describe(answer.headers_mut(), count);
    answer
}

fn iso(milliseconds: u64) -> String {
    let since = Duration::milliseconds(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    let date = OffsetDateTime::UNIX_EPOCH.checked_add(since);
    date.and_then(|date| date.format(ISO).ok()).unwrap_or_else(|| BEGINNING.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Page, MantaError> {
        page(&format!("/luke/stor?{query}").parse().unwrap(), false)
    }

    #[test]
    fn queries_are_read() {
        let page = of("limit=1024&marker=a%20b&sort_order=reverse&obj").unwrap();
        assert_eq!((page.limit, page.marker.as_deref(), page.reverse), (1024, Some("a b"), true));
        assert_eq!(page.directories, Some(false));
        let page = of("marker=&sort=mtime").unwrap();
        assert_eq!((page.limit, page.marker, page.order), (256, None, Order::Modified));
        assert_eq!(of("marker=1970-01-01T00:00:01.500Z&sort=mtime").unwrap().marker.as_deref(), Some("1500"));
    }

    #[test]
    fn bad_queries_are_refused() {
        for limit in ["0", "1025", "-1", "x", ""] {
            assert!(matches!(of(&format!("limit={limit}")), Err(MantaError::InvalidLimit(_))), "{limit}");
        }
        assert!(matches!(of("sort=none"), Err(MantaError::QueryParameterForbidden(_))));
        assert!(matches!(of("sort=mtime&marker=a"), Err(MantaError::InvalidParameter { .. })));
    }

    #[test]
    fn dates_are_written_as_javascript_does() {
        assert_eq!(iso(1_369_244_383_714), BEGINNING);
    }
}
