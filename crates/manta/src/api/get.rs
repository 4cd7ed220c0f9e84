// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{Method, StatusCode, header};

use super::metadata::Metadata;
use super::object_body::Body;
use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;

/// Which object is wanted, and how much of it.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// A part of it; the whole if none is given.
    pub range: Option<ByteRange>,
    /// Only if it is the object of this etag.
    pub etag: Option<String>,
    /// Whether the MD5 is left to the caller, who computes it anyway.
    pub unverified: bool,
    /// The MD5 that a whole object must have. It is compared where the server tells none, whoever else compares.
    pub md5: Option<[u8; 16]>,
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of its first byte.
    pub first: u64,
    /// Offset of its last byte; none for the object's last.
    pub last: Option<u64>,
}

/// An object that is being read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Object {
    /// What is known of it, and of the part.
    pub metadata: Metadata,
    /// Its bytes.
    pub body: Body,
}

impl Client {
    /// Reads an object, or a part of one. Tried again; how the body goes on, see [`Body`]. Of a directory it is the
    /// first page of its listing: see [`Metadata::is_directory`].
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
                // Of a part it would be the MD5 of something else.
                metadata.md5 = None;
            }
            _ => return Err(Error::Protocol("the answer is another part than was asked for")),
        }
        let md5 = match metadata.md5 {
            Some(told) => (!options.unverified).then_some(told),
            None => options.md5.filter(|_| options.range.is_none()),
        };
        let body = Body::new(self.clone(), path, &metadata, md5, answer.body);
        Ok(Object { metadata, body })
    }

    /// What is known of an object or a directory. Tried again.
    ///
    /// # Errors
    /// As the status says, because there is no body: `ResourceNotFound`, `AuthorizationFailed`.
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
