// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Cross-origin preflight requests, which restify answers without a handler.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;

use super::routes::RouteTable;

/// The request headers that a page of another origin may send.
const ALLOWED_HEADERS: [&str; 7] =
    ["accept", "accept-version", "content-type", "request-id", "origin", "x-api-version", "x-request-id"];

const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Returns the answer to a preflight for a mounted method with allowed headers; `None` for any other request.
pub(super) fn preflight(request: &Request, table: &RouteTable, path: &str) -> Option<Response> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let headers = request.headers();
    headers.get(header::ORIGIN)?;
    let method = text(headers, header::ACCESS_CONTROL_REQUEST_METHOD)?.parse().ok()?;
    table.route(&method, path)?;
    let requested = text(headers, header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let mut requested = requested.split(',').map(str::trim).filter(|name| !name.is_empty());
    if !requested.all(|name| ALLOWED_HEADERS.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    let answers = response.headers_mut();
    let allowed: HeaderValue = table.allowed(path).try_into().ok()?;
    answers.insert(header::ALLOW, allowed.clone());
    answers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed);
    answers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS.join(", ").try_into().ok()?);
    answers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Some(response)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
