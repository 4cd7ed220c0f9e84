// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Notices whether the body of a request was read. If the answer was sent before the body's end, the connection cannot
//! be reused, and the client has to be told.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Reports whether a body was read to its end.
#[derive(Debug)]
pub(super) struct BodyProgress(Option<Arc<AtomicBool>>);

impl BodyProgress {
    /// Returns whether the body was read completely.
    pub(super) fn is_complete(&self) -> bool {
        self.0.as_ref().is_none_or(|over| over.load(Ordering::Relaxed))
    }
}

/// Wraps a body, and returns what reports on it.
pub(super) fn watch(body: Body) -> (Body, BodyProgress) {
    if body.is_end_stream() {
        return (body, BodyProgress(None));
    }
    let over = Arc::new(AtomicBool::new(false));
    (Body::new(WatchedBody { body, over: Arc::clone(&over) }), BodyProgress(Some(over)))
}

struct WatchedBody {
    body: Body,
    over: Arc<AtomicBool>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.over.store(true, Ordering::Relaxed);
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_is_over_when_its_end_was_read() {
        assert!(watch(Body::empty()).1.is_complete());
        let (body, reading) = watch(Body::from("text"));
        assert!(!reading.is_complete());
        body.collect().await.unwrap();
        assert!(reading.is_complete());

        let (body, reading) = watch(Body::from("text"));
        drop(body);
        assert!(!reading.is_complete());
    }
}
