// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A stored file as a response: conditions, ranges, and the headers that describe it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::conditional::{self, Outcome, Validators};
use super::range::{self, Wanted};
use crate::images::{ApiError, ApiResult, Code, StoredFile};

/// Makes response bodies of files, in the way that suits the connection: the server gives one to every request.
#[derive(Clone)]
pub struct FileBodies(Arc<MakeBody>);

type MakeBody = dyn Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync;

impl FileBodies {
    /// `make` gets an open file and which of its bytes are wanted; a range beyond its end is an error.
    pub fn new(make: impl Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync + 'static) -> FileBodies {
        FileBodies(Arc::new(make))
    }

    /// The body of these bytes of the file.
    fn body(&self, file: File, range: Range<u64>) -> io::Result<Body> {
        (self.0)(file, range)
    }
}

/// A file to be sent, and what is known of it.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) file: StoredFile,
    /// Bytes.
    pub(super) size: u64,
    pub(super) content_type: &'a str,
    /// Lower-case hex. The entity tag.
    pub(super) sha1: &'a str,
    /// Base64, of the whole file.
    pub(super) md5: Option<&'a str>,
    pub(super) modified: Option<SystemTime>,
}

impl Download<'_> {
    /// Answers a GET or HEAD with these headers: 200, 206, 304, 412 or 416.
    pub(super) async fn respond(
        self,
        method: &Method,
        headers: &HeaderMap,
        bodies: &FileBodies,
    ) -> ApiResult<Response> {
        let current = Validators { etag: self.sha1, modified: self.modified };
        let outcome = conditional::read(headers, current)?;
        let wanted = match outcome {
            Outcome::Send if method == Method::GET && conditional::range_applies(headers, current) => {
                range::wanted(headers, self.size)
            }
            _ => Wanted::All,
        };
        let (etag, modified, size) = (self.sha1, self.modified, self.size);
        let mut response = match (outcome, wanted) {
            (Outcome::NotModified, _) => StatusCode::NOT_MODIFIED.into_response(),
            (Outcome::Send, Wanted::Unsatisfiable) => return Ok(unsatisfiable(size)),
            (Outcome::Send, Wanted::Part(range)) => self.part(range, bodies).await?,
            (Outcome::Send, Wanted::All) => self.whole(method, bodies).await?,
        };
        insert(response.headers_mut(), header::ETAG, etag);
        if let Some(modified) = modified.and_then(http_date) {
            insert(response.headers_mut(), header::LAST_MODIFIED, &modified);
        }
        Ok(response)
    }

    async fn whole(self, method: &Method, bodies: &FileBodies) -> ApiResult<Response> {
        let (size, content_type, md5) = (self.size, self.content_type, self.md5);
        let body = match *method {
            Method::HEAD => Body::empty(),
            _ => body(self.file, None, size, bodies).await?,
        };
        let mut response = content(body, content_type, size);
        if let Some(md5) = md5 {
            insert(response.headers_mut(), HeaderName::from_static("content-md5"), md5);
        }
        Ok(response)
    }

    /// There is no `Content-MD5`: clients compare it with the bytes that they get.
    async fn part(self, range: Range<u64>, bodies: &FileBodies) -> ApiResult<Response> {
        let (size, content_type) = (self.size, self.content_type);
        let said = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        let length = range.end - range.start;
        let body = body(self.file, Some(range), size, bodies).await?;
        let mut response = content(body, content_type, length);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        insert(response.headers_mut(), header::CONTENT_RANGE, &said);
        Ok(response)
    }
}

/// All bytes of a file, or a part of them. Manta has begun to answer when this returns.
async fn body(
    file: StoredFile,
    range: Option<Range<u64>>,
    size: u64,
    bodies: &FileBodies,
) -> ApiResult<Body> {
    match file {
        StoredFile::Local(file) => bodies.body(file, range.unwrap_or(0..size)).map_err(damaged),
        StoredFile::Manta(file) => Ok(Body::from_stream(file.read(range).await?)),
    }
}

/// `None` for a time that HTTP dates do not reach, which a record may have all the same.
fn http_date(time: SystemTime) -> Option<String> {
    /// Seconds from 1970 to the year 10000.
    const END: u64 = 253_402_300_800;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() < END).then(|| httpdate::fmt_http_date(time))
}

fn content(body: Body, content_type: &str, length: u64) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn unsatisfiable(size: u64) -> Response {
    let message = format!("the file has {size} bytes, and none of those asked for");
    let mut response = ApiError::new(Code::RequestedRangeNotSatisfiableError, message).into_response();
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

/// A stored file that is shorter than its manifest says, or cannot be read.
fn damaged(error: io::Error) -> ApiError {
    ApiError::new(Code::InternalError, "the stored file is not what its manifest says").because(error)
}

/// What cannot be a header, in a damaged record, is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
