use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::error::FetchError;

/// A file that is coming.
pub struct Incoming {
    host: String,
    response: Response,
    socket: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn new(host: String, response: Response, socket: OwnedSemaphorePermit) -> Incoming {
        Incoming { host, response, socket }
    }

    /// Its size in bytes, if the server says so.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Its bytes. An end before that of the HTTP message is an error: of the announced length, of the last chunk, or,
    /// where there is neither, of the TLS connection.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, FetchError>> {
        let Incoming { host, response, socket } = self;
        let chunks = response.bytes_stream();
        let chunks = chunks.map(move |chunk| {
            // Given back with the last byte.
            let _in_use = &socket;
            chunk.map_err(|error| FetchError::broken(host.clone(), error))
        });
        chunks.boxed()
    }
}

/// A whole body of at most `limit` bytes.
pub(super) async fn collect(host: &str, response: Response, limit: usize) -> Result<Bytes, FetchError> {
    let mut body = response.bytes_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| FetchError::broken(host.to_owned(), error))?;
        if collected.len() + chunk.len() > limit {
            let reason = format!("it has more than {limit} bytes");
            return Err(FetchError::Unusable { host: host.to_owned(), reason });
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}
