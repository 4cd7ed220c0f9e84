// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One request and its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Client, Request, RequestBody};
use crate::error::{Error, root_cause};
use crate::server_error::ServerError;

/// Maximum number of bytes to read of an error's body.
const MAX_ERROR: usize = 64 << 10;

/// An answer with a success status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
}

/// A pending answer; its head may have any status.
pub(crate) struct Answering {
    head: BoxFuture<'static, Result<http::Response<Incoming>, Error>>,
    limit: Duration,
}

impl Client {
    /// Sends a request once. Its body is in memory, so the idle timeout applies to the wait for the head of the answer.
    ///
    /// # Errors
    /// Any status of 300 or more is an error.
    pub(crate) async fn once(&self, request: &Request) -> Result<Answer, Error> {
        let body = Full::new(request.body.clone()).map_err(|never| match never {}).boxed_unsync();
        self.start(request, body, None).await?.answer("waiting for the answer").await
    }

    /// Sends a request as [`Client::once`] does, and retries it where that may help.
    pub(crate) async fn repeated(&self, request: &Request) -> Result<Answer, Error> {
        let mut retry = self.retry();
        loop {
            match self.once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Begins to send a request with any body. `may_continue` is notified when the server answers `100 Continue`.
    pub(crate) async fn start(
        &self,
        request: &Request,
        body: RequestBody,
        may_continue: Option<Arc<Notify>>,
    ) -> Result<Answering, Error> {
        let uri = Uri::builder()
            .scheme(self.shared.scheme.clone())
            .authority(self.shared.host.clone())
            .path_and_query(request.target.as_str())
            .build();
        let mut sent = http::Request::new(body);
        *sent.method_mut() = request.method.clone();
        *sent.uri_mut() = uri.map_err(|_| Error::Unprintable("path"))?;
        *sent.headers_mut() = request.headers.clone();
        self.sign(sent.headers_mut()).await?;
        if let Some(notify) = may_continue {
            hyper::ext::on_informational(&mut sent, move |head| {
                if head.status() == StatusCode::CONTINUE {
                    notify.notify_one();
                }
            });
        }
        let answering = self.shared.http.request(sent);
        let head = Box::pin(async move { answering.await.map_err(|error| of_transport(&error)) });
        Ok(Answering { head, limit: self.config().idle_timeout })
    }
}

impl Answering {
    /// Waits for the head without a timeout, for use in a `select!`. Must not be called again after it returned.
    pub(crate) async fn head(&mut self) -> Result<http::Response<Incoming>, Error> {
        Pin::new(&mut self.head).await
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Any status of 300 or more is an error; `Stalled` after the idle timeout, which names what it was `doing`.
    pub(crate) async fn answer(mut self, doing: &'static str) -> Result<Answer, Error> {
        let limit = self.limit;
        let head = timeout(limit, self.head()).await.map_err(|_| Error::Stalled { doing, limit })??;
        self.judge(head).await
    }

    /// Returns the answer, or an error if its status is not a success.
    pub(crate) async fn judge(self, head: http::Response<Incoming>) -> Result<Answer, Error> {
        let (parts, body) = head.into_parts();
        if parts.status.is_success() {
            return Ok(Answer { status: parts.status, headers: parts.headers, body });
        }
        if parts.status.is_redirection() && parts.status != StatusCode::NOT_MODIFIED {
            return Err(Error::Redirect(parts.status));
        }
        let text = beginning(body, self.limit).await;
        Err(ServerError::read(parts.status, &parts.headers, &text).into())
    }
}

/// Reads the beginning of an error's body, within limits. A body that ends early is accepted: the status matters more.
async fn beginning(mut body: Incoming, limit: Duration) -> Vec<u8> {
    let mut text = Vec::new();
    // The timeout also applies to the whole body, because an error is not worth as long a wait as an object.
    let _ = timeout(limit, async {
        while let Ok(Some(bytes)) = next_frame(&mut body, limit).await {
            let room = MAX_ERROR - text.len();
            text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() >= room {
                break;
            }
        }
    })
    .await;
    text
}

/// Returns the next bytes of a body; `None` at its end.
///
/// # Errors
/// `Stalled` if no bytes arrive within `limit`; `Connection` if the body ends before its announced end.
pub(crate) async fn next_frame(body: &mut Incoming, limit: Duration) -> Result<Option<Bytes>, Error> {
    loop {
        match timeout(limit, body.frame()).await {
            Err(_) => return Err(Error::Stalled { doing: "reading the answer", limit }),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Error::Connection(root_cause(&error))),
            // A frame without data is a trailer, which Manta does not use.
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

fn of_transport(error: &hyper_util::client::legacy::Error) -> Error {
    let reason = root_cause(error);
    if error.is_connect() { Error::Connect(reason) } else { Error::Connection(reason) }
}
