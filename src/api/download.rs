// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sends a stored file as a response: conditions, ranges, and the headers that describe the file.

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
use crate::images::{ApiError, ApiResult, Code, Part, StoredFile};

/// Makes response bodies from files in the way that suits the connection. The server puts one into every request.
#[derive(Clone)]
pub struct FileBodies(Arc<MakeBody>);

type MakeBody = dyn Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync;

impl FileBodies {
    /// `make` gets an open file and the range of bytes to send. A range beyond the end of the file is an error.
    pub fn new(make: impl Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync + 'static) -> FileBodies {
        FileBodies(Arc::new(make))
    }

    /// The body with these bytes of the file.
    fn body(&self, file: File, range: Range<u64>) -> io::Result<Body> {
        (self.0)(file, range)
    }
}

/// What is known about a file that is sent.
#[derive(Debug)]
pub(super) struct Description<'a> {
    /// Length in bytes.
    pub(super) size: u64,
    pub(super) content_type: &'a str,
    /// Lower-case hex; also the entity tag.
    pub(super) sha1: &'a str,
    /// Base64, for the whole file.
    pub(super) md5: Option<&'a str>,
    pub(super) modified: Option<SystemTime>,
}

/// How a request for a file is answered.
#[derive(Debug)]
pub(super) enum Plan {
    NotModified,
    Unsatisfiable,
    /// Only the headers of a 200.
    Head,
    Whole,
    Range(Range<u64>),
}

impl Description<'_> {
    /// Decides how to answer a GET or HEAD with these headers, and which part of the file that needs.
    ///
    /// # Errors
    /// 412 and 400 for unmet or malformed conditions.
    pub(super) fn plan(&self, method: &Method, headers: &HeaderMap) -> ApiResult<(Part, Plan)> {
        let current = Validators { etag: self.sha1, modified: self.modified };
        let is_head = *method == Method::HEAD;
        Ok(match conditional::read(headers, current)? {
            Outcome::NotModified => (Part::Nothing, Plan::NotModified),
            Outcome::Send if is_head => (Part::Nothing, Plan::Head),
            Outcome::Send if !conditional::range_applies(headers, current) => (Part::Whole, Plan::Whole),
            Outcome::Send => match range::wanted(headers, self.size) {
                Wanted::All => (Part::Whole, Plan::Whole),
                Wanted::Part(range) => (Part::Range(range.clone()), Plan::Range(range)),
                Wanted::Unsatisfiable => (Part::Nothing, Plan::Unsatisfiable),
            },
        })
    }

    /// The response: 200, 206, 304 or 416. `file` was opened for the part that belongs to `plan`.
    pub(super) fn respond(&self, plan: Plan, file: StoredFile, bodies: &FileBodies) -> ApiResult<Response> {
        let mut response = match plan {
            Plan::NotModified => StatusCode::NOT_MODIFIED.into_response(),
            Plan::Unsatisfiable => return Ok(unsatisfiable(self.size)),
            Plan::Head => self.whole(Body::empty()),
            Plan::Whole => self.whole(body(file, 0..self.size, bodies)?),
            Plan::Range(range) => self.part(&range, body(file, range.clone(), bodies)?),
        };
        insert(response.headers_mut(), header::ETAG, self.sha1);
        if let Some(modified) = self.modified.and_then(http_date) {
            insert(response.headers_mut(), header::LAST_MODIFIED, &modified);
        }
        Ok(response)
    }

    fn whole(&self, body: Body) -> Response {
        let mut response = content(body, self.content_type, self.size);
        if let Some(md5) = self.md5 {
            insert(response.headers_mut(), HeaderName::from_static("content-md5"), md5);
        }
        response
    }

    /// A part has no `Content-MD5`: clients compare it with the bytes that they get.
    fn part(&self, range: &Range<u64>, body: Body) -> Response {
        let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size);
        let mut response = content(body, self.content_type, range.end - range.start);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        insert(response.headers_mut(), header::CONTENT_RANGE, &content_range);
        response
    }
}

fn body(file: StoredFile, range: Range<u64>, bodies: &FileBodies) -> ApiResult<Body> {
    match file {
        StoredFile::Local(file) => bodies.body(file, range).map_err(damaged),
        StoredFile::Manta(bytes) => Ok(Body::from_stream(bytes)),
    }
}

/// `None` for a time that HTTP dates cannot express. A record may have such a time.
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

/// The error for a stored file that is shorter than its manifest says, or cannot be read.
fn damaged(error: io::Error) -> ApiError {
    ApiError::new(Code::InternalError, "the stored file is not what its manifest says").because(error)
}

/// Adds a header. A value from a damaged record that is not allowed in a header is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
