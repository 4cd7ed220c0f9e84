// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The end of an exchange: however it ends, it is counted and audited once.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::AppState;
use super::context::Context;
use super::reply::{Failure, JsonText};
use super::version;
use crate::images::{ApiError, Code, off_the_runtime};
use crate::telemetry::{self, Audit, AuditRequest, AuditResponse, ErrorRecord, GaugeGuard, Metrics};

/// The status in records and metrics if the client left before it was answered; other servers use the same.
const CLIENT_CLOSED: u16 = 499;

/// Records the exchange when it is dropped: with the last byte of the response, or when the client has gone.
pub(super) struct ExchangeGuard {
    context: Context,
    metrics: Arc<Metrics>,
    answer: Option<Answer>,
    /// The bytes of the response's body that were sent so far.
    sent: u64,
    _in_flight: GaugeGuard,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    json: Option<Bytes>,
    failure: Option<Arc<ApiError>>,
}

impl ExchangeGuard {
    pub(super) fn new(context: Context, state: &AppState) -> ExchangeGuard {
        let metrics = Arc::clone(&state.0.metrics);
        ExchangeGuard { context, _in_flight: metrics.request_started(), metrics, answer: None, sent: 0 }
    }

    /// Returns the response, and ties the record to its end.
    pub(super) fn watch(mut self, mut response: Response) -> Response {
        let extensions = response.extensions_mut();
        let json = extensions.remove::<JsonText>().map(|text| text.0);
        let failure = extensions.remove::<Failure>().map(|failure| failure.0);
        let headers = if self.context.is_quiet() { HeaderMap::new() } else { response.headers().clone() };
        self.answer = Some(Answer { status: response.status().as_u16(), headers, json, failure });
        response.map(|body| Body::new(AuditedBody { body, guard: self }))
    }

    fn audit(&self, answer: &Answer) {
        let context = &self.context;
        let matched = context.route.get().copied();
        let action = context.params.one("action").ok().flatten();
        let (id, url, version) =
            (context.id_text(), context.uri.to_string(), version::requested(&context.headers));
        let failure = answer.failure.as_deref().map(error_record);
        let record = Audit {
            req_id: &id,
            route: matched,
            action,
            remote_user: context.user(),
            peer: context.peer,
            request: AuditRequest {
                query: matched.map(|_| context.params.pairs()),
                method: context.method.as_str(),
                url: &url,
                headers: &context.headers,
                http_version: context.http_version,
                api_version: &version,
                body: context.body.get().map(AsRef::as_ref),
                timers: &[],
            },
            response: AuditResponse {
                status: answer.status,
                headers: &answer.headers,
                body: answer.json.as_deref(),
            },
            err: failure.as_ref(),
            latency: context.started.elapsed(),
        };
        off_the_runtime(record.size(), || record.write());
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        let answer = self.answer.take().unwrap_or_else(|| Answer {
            status: CLIENT_CLOSED,
            headers: HeaderMap::new(),
            json: None,
            failure: None,
        });
        let context = &self.context;
        let user_agent = context.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        self.metrics.observe_request(
            context.route_name(),
            context.method.as_str(),
            user_agent,
            answer.status,
            context.started.elapsed(),
        );
        // A body that is not JSON is a file.
        if answer.json.is_none() {
            self.metrics.file_bytes_out(self.sent);
        }
        if let Some(failure) = &answer.failure {
            report(context, failure);
        }
        if !context.is_quiet() {
            self.audit(&answer);
        }
    }
}

/// Logs a failure of this server in addition to the audit record: as an error, which is an alarm, if it must not
/// happen, and as a warning if a backend is unavailable.
fn report(context: &Context, failure: &ApiError) {
    let req_id = context.id_text();
    match failure.code() {
        // The answer of another server is relayed with its own status.
        Code::InternalError if failure.cause().is_some() && failure.status() >= 500 => {
            tracing::error!(req_id, err.json = %error_record(failure), "{failure}");
        }
        Code::ServiceUnavailableError | Code::StorageIsDown => {
            tracing::warn!(req_id, err.json = %error_record(failure), "{failure}");
        }
        _ => {}
    }
}

fn error_record(error: &ApiError) -> ErrorRecord {
    let code = error.code_text();
    let error: &(dyn Error + 'static) = error;
    telemetry::err(error).named(&format!("{}Error", code.strip_suffix("Error").unwrap_or(code)))
}

/// A response body that ends the exchange when it is dropped.
struct AuditedBody {
    body: Body,
    guard: ExchangeGuard,
}

impl http_body::Body for AuditedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(task);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.guard.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
