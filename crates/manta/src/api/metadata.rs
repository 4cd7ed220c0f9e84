// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};

/// The `m-*` headers of an object: names in lower case without `m-`, and their values. Manta accepts up to 4 KiB of them.
pub type UserMetadata = BTreeMap<String, String>;

/// Metadata of an object, a directory, or a part of an object. Every member may be absent; for a directory most are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Number of bytes of the object, or of the requested part.
    pub length: Option<u64>,
    /// Etag of the object; identifies its content. An opaque text.
    pub etag: Option<String>,
    /// MD5 of the whole object; absent for a part.
    pub md5: Option<[u8; 16]>,
    /// Type with which the object was stored; see [`Metadata::is_directory`].
    pub content_type: Option<String>,
    /// Time at which the object was stored, in whole seconds.
    pub last_modified: Option<SystemTime>,
    /// The part of the object, if a part was requested.
    pub content_range: Option<ContentRange>,
    /// Metadata that the object's owner stored with it.
    pub user: UserMetadata,
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Length of the whole object, in bytes.
    pub total: u64,
}

impl Metadata {
    /// Returns whether this is a directory, whose body is a listing.
    pub fn is_directory(&self) -> bool {
        let mut parts = self.content_type.iter().flat_map(|kind| kind.split(';'));
        parts.any(|part| part.trim() == "type=directory")
    }

    pub(crate) fn read(headers: &HeaderMap) -> Metadata {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Metadata {
            length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            etag: text(header::ETAG).map(str::to_owned),
            md5: digest(headers, "content-md5"),
            content_type: text(header::CONTENT_TYPE).map(str::to_owned),
            last_modified: text(header::LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok()),
            content_range: text(header::CONTENT_RANGE).and_then(ContentRange::read),
            user: user_metadata(headers),
        }
    }
}

impl ContentRange {
    /// Parses a `content-range` header, such as `bytes 0-9/20`.
    fn read(value: &str) -> Option<ContentRange> {
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range =
            ContentRange { first: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
        (range.first <= range.last && range.last < range.total).then_some(range)
    }
}

/// Decodes an MD5 in base64, as Manta sends it, from a header.
pub(super) fn digest(headers: &HeaderMap, name: &'static str) -> Option<[u8; 16]> {
    decode_md5(headers.get(name)?.to_str().ok()?)
}

pub(super) fn decode_md5(text: &str) -> Option<[u8; 16]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

pub(super) fn encode_md5(md5: [u8; 16]) -> String {
    STANDARD.encode(md5)
}

fn user_metadata(headers: &HeaderMap) -> UserMetadata {
    let named = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("m-")?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_part_of_a_whole() {
        assert_eq!(ContentRange::read("bytes 1-9/10"), Some(ContentRange { first: 1, last: 9, total: 10 }));
        for odd in ["", "bytes */10", "bytes 1-9/*", "bytes 9-1/10", "bytes 0-10/10", "items 1-9/10"] {
            assert_eq!(ContentRange::read(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_missing() {
        let mut headers = HeaderMap::new();
        for name in ["content-length", "content-md5", "last-modified", "content-range"] {
            headers.insert(name, "nonsense".parse().unwrap());
        }
        assert_eq!(Metadata::read(&headers), Metadata::default());
    }

    #[test]
    fn a_directory_says_so_in_its_type() {
        let of =
            |kind: &str| Metadata { content_type: Some(kind.into()), ..Metadata::default() }.is_directory();
        assert!(of("application/x-json-stream; type=directory"));
        assert!(!of("application/x-json-stream"));
        assert!(!Metadata::default().is_directory());
    }
}
