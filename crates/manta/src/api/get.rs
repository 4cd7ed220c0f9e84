// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{Method, StatusCode, header};

use super::metadata::Metadata;
use super::object_body::Body;
use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;

/// Options of [`Client::get`].
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// The part to read; the whole object if absent.
    pub range: Option<ByteRange>,
    /// The etag that the object must have.
    pub etag: Option<String>,
    /// Expected MD5 of the whole object, for a server that sends none. One that the server sends is always checked.
    pub md5: Option<[u8; 16]>,
}

/// A range of bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte; `None` for the end of the object.
    pub last: Option<u64>,
}

/// An object that is being read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Object {
    /// Metadata of the object and of the part.
    pub metadata: Metadata,
    /// Content of the object or of the part.
    pub body: Body,
}

impl Client {
    /// Reads an object or a part of it. The request is retried; [`Body`] describes how a broken download continues. For a
    /// directory, the body is the first page of its listing: see [`Metadata::is_directory`].
    ///
    /// # Errors
    /// `ResourceNotFound`, `PreconditionFailed`, `RangeNotSatisfiable`.
    pub async fn get(&self, path: &Path, options: &GetOptions) -> Result<Object, Error> {
        let mut request = Request::new(Method::GET, path, "*/*");
        if let Some(etag) = &options.etag {
            request.set_text(header::IF_MATCH, etag, "etag")?;
        }
        if let Some(range) = options.range {
            request.set_text(header::RANGE, &range.header(), "range")?;
        }
        let answer = self.repeated(&request).await?;
        let mut metadata = Metadata::read(&answer.headers);
        match (options.range, metadata.content_range) {
            (None, None) if answer.status == StatusCode::OK => {}
            (Some(asked), Some(sent))
                if answer.status == StatusCode::PARTIAL_CONTENT && asked.first == sent.first =>
            {
                // The MD5 is the one of the whole object, so it does not fit a part.
                metadata.md5 = None;
            }
            _ => return Err(Error::Protocol("the answer is another part than was asked for")),
        }
        let md5 = metadata.md5.or(options.md5.filter(|_| options.range.is_none()));
        let body = Body::new(self.clone(), path, &metadata, md5, answer.body);
        Ok(Object { metadata, body })
    }

    /// Returns the metadata of an object or a directory. The request is retried.
    ///
    /// # Errors
    /// `ResourceNotFound` or `AuthorizationFailed`. They are derived from the status, because the answer has no body.
    pub async fn head(&self, path: &Path) -> Result<Metadata, Error> {
        let request = Request::new(Method::HEAD, path, "application/json, */*");
        Ok(Metadata::read(&self.repeated(&request).await?.headers))
    }
}

impl ByteRange {
    pub(super) fn header(self) -> String {
        let last = self.last.map(|last| last.to_string()).unwrap_or_default();
        format!("bytes={}-{last}", self.first)
    }
}
