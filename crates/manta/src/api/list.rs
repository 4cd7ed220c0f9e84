// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::{BoxStream, try_unfold};
use http::Method;
use hyper::body::Incoming;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::metadata::{Metadata, decode_md5};
use crate::client::{Client, Request, Retry, next_frame};
use crate::error::Error;
use crate::path::{Path, encode};

/// Number of entries to request at once: the maximum that Manta sends.
const PAGE: usize = 1024;
/// Maximum length of a line of a listing, in bytes. A name has at most 1 KiB.
const MAX_LINE: usize = 64 << 10;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Name of the entry. [`Path::join`] appends it to the path of the directory.
    pub name: String,
    /// Whether it is an object or a directory.
    pub kind: EntryKind,
    /// Etag of an object; identifies its content.
    pub etag: Option<String>,
    /// Length of an object, in bytes.
    pub size: Option<u64>,
    /// MD5 of an object, if Manta has recorded it.
    pub md5: Option<[u8; 16]>,
    /// Time at which the object was stored or the directory was created.
    pub modified: Option<SystemTime>,
}

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An object.
    Object,
    /// A directory.
    Directory,
}

/// The entries of a directory, sorted by name. Pages are fetched on demand. An entry that exists all the time is listed exactly
/// once. An entry that is added or removed during the listing may or may not be listed.
pub struct Listing(BoxStream<'static, Result<Entry, Error>>);

impl Client {
    /// Lists a directory. If the connection breaks, the current page is requested again from the last entry on.
    ///
    /// # Errors
    /// `ResourceNotFound`, [`Error::NotADirectory`]; all errors are items of the stream.
    pub fn list(&self, path: &Path) -> Listing {
        let pages =
            Pages { client: self.clone(), path: path.clone(), marker: None, page: None, retry: self.retry() };
        Listing(Box::pin(try_unfold(pages, Pages::next)))
    }
}

impl Stream for Listing {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listing")
    }
}

struct Pages {
    client: Client,
    path: Path,
    /// The last name that was listed. The next page starts with it if it still exists.
    marker: Option<String>,
    page: Option<Page>,
    retry: Retry,
}

struct Page {
    lines: Lines,
    seen: usize,
    /// The marker with which the page was requested.
    marker: Option<String>,
}

impl Pages {
    async fn next(mut self) -> Result<Option<(Entry, Pages)>, Error> {
        loop {
            match self.more().await {
                Ok(Some(entry)) => {
                    self.retry.reset();
                    self.marker = Some(entry.name.clone());
                    return Ok(Some((entry, self)));
                }
                Ok(None) => match self.page.take() {
                    Some(page) if page.seen >= PAGE && page.marker != self.marker => {}
                    Some(page) if page.seen >= PAGE => {
                        return Err(Error::Protocol("a listing does not go on"));
                    }
                    _ => return Ok(None),
                },
                Err(error) => {
                    self.page = None;
                    self.retry.pause(error).await?;
                }
            }
        }
    }

    /// Returns the next entry of the page. Fetches a page if there is none.
    async fn more(&mut self) -> Result<Option<Entry>, Error> {
        let page = match &mut self.page {
            Some(page) => page,
            None => {
                let page = self.fetch().await?;
                self.page.insert(page)
            }
        };
        let limit = self.client.config().idle_timeout;
        while let Some(line) = page.lines.next(limit).await? {
            let entry = Entry::read(&line)?;
            page.seen += 1;
            let repeated = page.seen == 1 && page.marker.as_ref() == Some(&entry.name);
            if !repeated {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    async fn fetch(&self) -> Result<Page, Error> {
        let mut request = Request::new(Method::GET, &self.path, "*/*");
        request.target.push_str(&format!("?limit={PAGE}"));
        if let Some(marker) = &self.marker {
            request.target.push_str(&format!("&marker={}", encode(marker)));
        }
        let answer = self.client.once(&request).await?;
        if !Metadata::read(&answer.headers).is_directory() {
            return Err(Error::NotADirectory);
        }
        let lines = Lines { incoming: answer.body, buffer: BytesMut::new(), searched: 0 };
        Ok(Page { lines, seen: 0, marker: self.marker.clone() })
    }
}

/// Splits a body into lines.
struct Lines {
    incoming: Incoming,
    buffer: BytesMut,
    /// Length of the part of the buffer that is known to contain no end of line.
    searched: usize,
}

impl Lines {
    async fn next(&mut self, limit: Duration) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                return Err(TOO_LONG);
            }
            match next_frame(&mut self.incoming, limit).await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }
}

const TOO_LONG: Error = Error::Protocol("a line of a listing is too long");

impl Entry {
    fn read(line: &[u8]) -> Result<Entry, Error> {
        #[derive(Deserialize)]
        struct Wire {
            name: String,
            r#type: EntryKind,
            etag: Option<String>,
            size: Option<u64>,
            #[serde(rename = "contentMD5")]
            md5: Option<String>,
            mtime: Option<String>,
        }
        if line.len() > MAX_LINE {
            return Err(TOO_LONG);
        }
        let wire: Wire =
            serde_json::from_slice(line).map_err(|_| Error::Protocol("a line of a listing is no entry"))?;
        let modified = wire.mtime.and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
        Ok(Entry {
            name: wire.name,
            kind: wire.r#type,
            etag: wire.etag,
            size: wire.size,
            md5: wire.md5.and_then(|md5| decode_md5(&md5)),
            modified: modified.map(SystemTime::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_manta_writes_them() {
        let line = br#"{"name":"f","etag":"e","size":3,"type":"object","contentType":"text/plain",
            "contentMD5":"kAFQmDzST7DWlj99KOF/cg==","mtime":"2025-01-01T00:00:00.500Z","durability":2}"#;
        let entry = Entry::read(line).unwrap();
        assert_eq!((entry.name.as_str(), entry.kind, entry.size), ("f", EntryKind::Object, Some(3)));
        assert_eq!(entry.md5.unwrap()[..2], [0x90, 0x01]);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_735_689_600_500);
        assert_eq!(entry.modified, Some(modified));
        let directory = Entry::read(br#"{"name":"d","type":"directory","mtime":"soon"}"#).unwrap();
        assert_eq!((directory.kind, directory.etag, directory.modified), (EntryKind::Directory, None, None));
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for line in ["", "x", "{}", "[]", r#"{"name":1,"type":"object"}"#, r#"{"name":"a","type":"socket"}"#]
        {
            assert!(matches!(Entry::read(line.as_bytes()), Err(Error::Protocol(_))), "{line}");
        }
        let long = format!(r#"{{"name":"{}","type":"object"}}"#, "a".repeat(MAX_LINE));
        assert!(Entry::read(long.as_bytes()).is_err());
    }
}
