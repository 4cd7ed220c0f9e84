// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request body as a stream of bytes, for operations that store it.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::AppState;
use crate::config::Stalled;
use crate::images::{self, ApiError, Code};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client went away, or broke the framing of its body.
    #[error("the request body is broken")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body came too slowly.
    #[error("the request body was given up: {0}")]
    Stalled(#[from] Stalled),
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        match error {
            BodyError::Broken(_) => {
                ApiError::new(Code::BadRequestError, "the request body ended early or is malformed")
                    .because(error)
            }
            BodyError::Stalled(_) => ApiError::new(Code::RequestTimeout, error.to_string()),
        }
    }
}

/// Returns the bytes of `body`, to which the limits of transfers apply.
pub(super) fn stream(state: &AppState, body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> {
    let chunks = body.into_data_stream().map(|chunk| chunk.map_err(|error| BodyError::Broken(error.into())));
    images::with_transfer_limits(state.app(), chunks)
}
