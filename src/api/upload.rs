//! A request body as a stream of bytes, for operations that store it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::images::{ApiError, Code};

/// A body that brings nothing for this long is given up.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client went away, or broke the framing of its body.
    #[error("the request body is broken")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for too long.
    #[error("nothing of the request body came for {} s", IDLE_TIMEOUT.as_secs())]
    Idle,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        match error {
            BodyError::Broken(_) => {
                ApiError::new(Code::BadRequestError, "the request body ended early or is malformed")
                    .because(error)
            }
            BodyError::Idle => ApiError::new(Code::RequestTimeout, error.to_string()),
        }
    }
}

/// The bytes of `body`, with a limit on how long to wait for the next ones.
pub(super) fn stream(body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> {
    let chunks = body.into_data_stream();
    futures_util::stream::unfold(chunks, |mut chunks| async move {
        let next = match tokio::time::timeout(IDLE_TIMEOUT, chunks.next()).await {
            Ok(None) => return None,
            Ok(Some(chunk)) => chunk.map_err(|error| BodyError::Broken(error.into())),
            Err(_) => Err(BodyError::Idle),
        };
        Some((next, chunks))
    })
}
