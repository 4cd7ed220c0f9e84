// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::sync::OwnedSemaphorePermit;

use super::error::FetchError;
use crate::answers::{self, AnswerError};
use crate::telemetry::excerpt;

/// The length of an MD5 in bytes.
const MD5_LENGTH: usize = 16;

/// A file that is being received.
pub struct RemoteFile {
    host: String,
    response: Response,
    socket: OwnedSemaphorePermit,
}

impl RemoteFile {
    pub(super) fn new(host: String, response: Response, socket: OwnedSemaphorePermit) -> RemoteFile {
        RemoteFile { host, response, socket }
    }

    /// Returns its size in bytes, if the server announces it.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Returns the content coding of its bytes, although none was asked for.
    pub fn encoding(&self) -> Option<String> {
        encoding(&self.response)
    }

    /// Returns its `Content-MD5` in Base64, if the server sends one.
    ///
    /// # Errors
    /// `Unusable` if the value cannot be an MD5.
    pub fn md5(&self) -> Result<Option<String>, FetchError> {
        let Some(value) = self.response.headers().get("content-md5") else { return Ok(None) };
        let text = value
            .to_str()
            .ok()
            .filter(|text| STANDARD.decode(text).is_ok_and(|digest| digest.len() == MD5_LENGTH));
        let reason = || "its Content-MD5 is no MD5 in Base64".to_owned();
        text.map(|text| Some(text.to_owned()))
            .ok_or_else(|| FetchError::Unusable { host: self.host.clone(), reason: reason() })
    }

    /// Returns its bytes. It is an error if they end before the HTTP message does: before the announced length, the
    /// last chunk or, without either, the end of the TLS connection.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, FetchError>> {
        let RemoteFile { host, response, socket } = self;
        let chunks = response.bytes_stream();
        let chunks = chunks.map(move |chunk| {
            // Released with the last byte.
            let _in_use = &socket;
            chunk.map_err(|error| FetchError::broken(host.clone(), error))
        });
        chunks.boxed()
    }
}

fn encoding(response: &Response) -> Option<String> {
    let lines = response.headers().get_all(CONTENT_ENCODING).iter();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let codings = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let codings: Vec<_> =
        codings.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")).collect();
    (!codings.is_empty()).then(|| excerpt(&codings.join(", ")))
}

/// Returns a complete body of at most `limit` bytes.
pub(super) async fn collect(host: &str, response: Response, limit: usize) -> Result<Bytes, FetchError> {
    if let Some(encoding) = encoding(&response) {
        let reason = format!("it is encoded as {encoding:?}, which was not asked for");
        return Err(FetchError::Unusable { host: host.to_owned(), reason });
    }
    answers::whole(response, limit).await.map_err(|error| match error {
        AnswerError::Broken(error) => FetchError::broken(host.to_owned(), error),
        error @ AnswerError::TooLong(_) => {
            FetchError::Unusable { host: host.to_owned(), reason: error.to_string() }
        }
    })
}
