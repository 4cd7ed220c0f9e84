// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, try_unfold};
use http::{Method, StatusCode, header};
use hyper::body::Incoming;

use super::digest::BackgroundMd5;
use super::get::ByteRange;
use super::metadata::Metadata;
use crate::client::{Client, Request, Retry, next_frame};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

/// The content of an object, or of a part of it.
///
/// After a broken connection, the download continues from where it stopped. It fails after
/// [`Config::attempts`](crate::Config::attempts) attempts in a row without data. It continues only with the same object: if the
/// object was replaced, it ends with [`Error::Changed`]. At the end, the length and, for a whole object, the MD5 are compared
/// with what the server announced. If they differ, the body ends with an error instead of its last bytes.
pub struct Body(BoxStream<'static, Result<Bytes, Error>>);

impl Body {
    /// Creates the body of an answer with this metadata. `md5` is the MD5 that the content must have.
    pub(super) fn new(
        client: Client,
        path: &Path,
        metadata: &Metadata,
        md5: Option<[u8; 16]>,
        incoming: Incoming,
    ) -> Body {
        let first = metadata.content_range.map_or(0, |range| range.first);
        let end = match metadata.content_range {
            Some(range) => Some(range.last + 1),
            None => metadata.length,
        };
        let reading = Reading {
            retry: client.retry(),
            client,
            path: path.clone(),
            etag: metadata.etag.clone(),
            incoming: Some(incoming),
            position: first,
            end,
            md5: md5.map(|md5| (BackgroundMd5::new(), md5)),
        };
        Body(Box::pin(try_unfold(reading, Reading::next)))
    }
}

impl Stream for Body {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

struct Reading {
    client: Client,
    path: Path,
    etag: Option<String>,
    incoming: Option<Incoming>,
    /// Offset in the object of the next byte, and the offset after the last byte.
    position: u64,
    end: Option<u64>,
    /// The MD5 of the bytes read so far, and the expected one.
    md5: Option<(BackgroundMd5, [u8; 16])>,
    retry: Retry,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Reading)>, Error> {
        loop {
            match self.more().await {
                Ok(Some(bytes)) => {
                    self.take(&bytes).await?;
                    // Checked before the last bytes are returned: a caller that forwards bytes must not have forwarded a complete
                    // wrong object.
                    if self.end == Some(self.position) {
                        self.verify().await?;
                    }
                    return Ok(Some((bytes, self)));
                }
                Ok(None) => return self.verify().await.map(|()| None),
                // Without an etag, the rest could belong to another object.
                Err(error) if self.etag.is_none() => return Err(error),
                Err(error) => {
                    self.incoming = None;
                    self.retry.pause(error).await?;
                }
            }
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, Error> {
        let incoming = match &mut self.incoming {
            Some(incoming) => incoming,
            None => {
                let incoming = self.go_on().await?;
                self.incoming.insert(incoming)
            }
        };
        let bytes = next_frame(incoming, self.client.config().idle_timeout).await?;
        match (bytes, self.end) {
            (None, Some(end)) if self.position < end => {
                Err(Error::Connection("the body ended before its end".into()))
            }
            (bytes, _) => Ok(bytes),
        }
    }

    /// Requests the rest of the object.
    async fn go_on(&self) -> Result<Incoming, Error> {
        let rest = ByteRange { first: self.position, last: self.end.map(|end| end.saturating_sub(1)) };
        let mut request = Request::new(Method::GET, &self.path, "*/*");
        request.set_text(header::RANGE, &rest.header(), "range")?;
        request.set_text(header::IF_MATCH, self.etag.as_deref().unwrap_or_default(), "etag")?;
        let answer = match self.client.once(&request).await {
            Err(error) => return Err(changed(error)),
            Ok(answer) => answer,
        };
        let metadata = Metadata::read(&answer.headers);
        if metadata.etag != self.etag {
            return Err(Error::Changed);
        }
        match metadata.content_range {
            Some(range)
                if answer.status == StatusCode::PARTIAL_CONTENT
                    && range.first == self.position
                    && self.end.is_none_or(|end| range.last + 1 == end) =>
            {
                Ok(answer.body)
            }
            _ => Err(Error::Protocol("the answer is another part than was asked for")),
        }
    }

    async fn take(&mut self, bytes: &Bytes) -> Result<(), Error> {
        self.position += bytes.len() as u64;
        if let Some(end) = self.end.filter(|end| self.position > *end) {
            return Err(Error::Length { expected: end, actual: self.position });
        }
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes.clone()).await?;
        }
        self.retry.reset();
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), Error> {
        let Some((read, expected)) = self.md5.take() else { return Ok(()) };
        if read.finish().await? == expected { Ok(()) } else { Err(Error::Md5) }
    }
}

/// Turns the errors about a missing or shorter object into [`Error::Changed`]: the object was replaced or removed.
fn changed(error: Error) -> Error {
    match error.code() {
        Some(
            ErrorCode::PreconditionFailed | ErrorCode::ResourceNotFound | ErrorCode::RangeNotSatisfiable,
        ) => Error::Changed,
        _ => error,
    }
}
