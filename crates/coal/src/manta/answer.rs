// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers: their headers and bodies.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;

use super::conditions::modified;
use super::error::MantaError;
use super::faults::ContentFault;
use super::range::Span;
use super::store::Entry;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(super) type Answer = Response<Body>;

/// Number of bytes of a file to read at once.
const PIECE: usize = 256 << 10;

/// Returns an empty body.
pub(super) fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Returns an answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    with_body(status, no_body())
}

/// Returns an answer with a short body.
pub(super) fn full(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = with_body(status, body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Returns the answer of a load balancer whose servers are unavailable.
pub(super) fn bad_gateway() -> Answer {
    full(StatusCode::BAD_GATEWAY, "text/html", "<html><body>502 Bad Gateway</body></html>\n".to_owned())
}

/// Returns an answer whose body is a file, or a span of it.
pub(super) async fn file(file: File, span: Span, fault: ContentFault) -> io::Result<Answer> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(span.start)).await?;
    let pieces = ReaderStream::with_capacity(file.take(span.end - span.start), PIECE);
    let body = StreamBody::new(faulty(pieces, fault).map_ok(Frame::data));
    Ok(with_body(StatusCode::OK, BodyExt::boxed_unsync(body)))
}

/// Returns the bytes of a file that the fault lets through.
fn faulty(
    pieces: ReaderStream<tokio::io::Take<tokio::fs::File>>,
    fault: ContentFault,
) -> impl Stream<Item = io::Result<Bytes>> {
    let start = (pieces, fault, Bytes::new(), 0_u64);
    stream::try_unfold(start, async |(mut pieces, mut fault, mut piece, done)| {
        if piece.is_empty() {
            match pieces.next().await {
                Some(next) => piece = next?,
                None => return Ok(None),
            }
        }
        let through = match fault.pass(done, piece.len()).await {
            Ok(through) => through,
            Err(hang_up) => {
                // This lets the connection flush the bytes that were sent before.
                tokio::task::yield_now().await;
                return Err(io::Error::other(hang_up));
            }
        };
        let sent = fault.alter(done, piece.split_to(through));
        Ok(Some((sent, (pieces, fault, piece, done + through as u64))))
    })
}

fn with_body(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Returns the answer for an error. In an answer to HEAD the body is not sent.
pub(super) fn failure(error: &MantaError) -> Answer {
    let (status, code) = error.wire();
    if let MantaError::Internal(cause) = error {
        tracing::error!(%cause, "Manta cannot answer a request");
    }
    let body = json!({"code": code, "message": error.to_string()}).to_string();
    let mut answer = full(status, "application/json", body);
    let headers = answer.headers_mut();
    match error {
        MantaError::ServiceUnavailable { retry_after } => set(headers, RETRY_AFTER, &retry_after.to_string()),
        MantaError::RangeNotSatisfiable { size, .. } => {
            set(headers, CONTENT_RANGE, &format!("bytes */{size}"))
        }
        _ => {}
    }
    answer
}

/// Sets a header. A value that cannot be sent in a header is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Adds the headers of every answer about an entry: `etag`, `last-modified`, and the ones that its owner stored with it.
pub(super) fn describe(headers: &mut HeaderMap, entry: &Entry) {
    if let Some(object) = &entry.object {
        set(headers, ETAG, &object.etag);
    }
    set(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified(entry.modified_ms)));
    for (name, value) in &entry.headers {
        if let Ok(name) = name.parse() {
            set(headers, name, value);
        }
    }
}

/// Adds the headers of every answer.
pub(super) fn sign_off(headers: &mut HeaderMap, request_id: &HeaderValue, began: SystemTime) {
    let took = began.elapsed().unwrap_or_default().as_millis();
    headers.insert("x-request-id", request_id.clone());
    headers.insert("server", HeaderValue::from_static("Manta"));
    headers.insert("x-server-name", HeaderValue::from_static("coal"));
    headers.insert("x-load-balancer", HeaderValue::from_static("127.0.0.1"));
    set(headers, HeaderName::from_static("x-response-time"), &took.to_string());
}
