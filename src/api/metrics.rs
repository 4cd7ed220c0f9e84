// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `GET /metrics`, on a separate listener, so that operators still get metrics from a busy API.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use crate::images::{ApiError, Code, off_the_runtime};
use crate::telemetry::Metrics;

/// The classic text format, because cmon-agent rejects OpenMetrics.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// The metrics service. `refresh` updates metrics whose values are read from elsewhere.
pub fn router(metrics: Arc<Metrics>, refresh: impl Fn() + Clone + Send + Sync + 'static) -> Router {
    let serve = move || async move {
        // After a while there are many thousands of lines.
        off_the_runtime(usize::MAX, || {
            refresh();
            text(&metrics)
        })
    };
    Router::new()
        .route("/metrics", on(MethodFilter::GET, serve).head(not_allowed).fallback(not_allowed))
        .fallback(unknown)
}

fn text(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT))], text).into_response(),
        Err(error) => {
            ApiError::new(Code::InternalError, "the metrics cannot be encoded").because(error).into_response()
        }
    }
}

async fn not_allowed() -> Response {
    let mut response = ApiError::new(Code::MethodNotAllowedError, "only GET is allowed").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::new(Code::ResourceNotFound, format!("{} does not exist", uri.path()))
}
