// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The steps that every request passes before its handler, and every response after it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::Service;
use tracing::Instrument;

use super::answer_memory::NoMemory;
use super::audit::ExchangeGuard;
use super::context::Context;
use super::params::escapes_are_valid;
use super::reply::JsonText;
use super::routes::{RouteTable, routes};
use super::{AppState, auth, body_watch, cors, negotiate, version};
use crate::images::{ApiError, ApiResult, Code};

/// The age of the answer in seconds. It is sent if the answer comes from memory because the database is unavailable.
const X_IMGAPI_STALE: HeaderName = HeaderName::from_static("x-imgapi-stale");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
const X_SERVER_NAME: HeaderName = HeaderName::from_static("x-server-name");

/// All of the HTTP API as a service; cheap to clone.
#[derive(Clone)]
pub struct Api {
    state: AppState,
    routed: Router,
}

impl Api {
    /// Makes the API of a server with this state.
    pub fn new(state: AppState) -> Api {
        let (router, table) = routes(&state.app().config).into_parts();
        let routed = router
            .fallback(unknown_path)
            .layer(from_fn_with_state((state.clone(), Arc::new(table)), gate))
            .with_state(state.clone());
        // Paths are rewritten before they are matched, so that step is outside the router.
        Api { state, routed }
    }
}

impl Service<Request> for Api {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (state, routed) = (self.state.clone(), self.routed.clone());
        let context = Context::new(&request);
        let size = context.size.clone();
        Box::pin(size.track(async move { Ok(exchange(&state, context, request, routed).await) }))
    }
}

/// The outermost step: makes a response with all common headers from a request.
async fn exchange(state: &AppState, context: Context, mut request: Request, routed: Router) -> Response {
    let guard = ExchangeGuard::new(context.clone(), state);
    if let Some(uri) = normal_path(request.uri()) {
        *request.uri_mut() = uri;
    }
    let (head, body) = request.into_parts();
    let (body, body_progress) = body_watch::watch(body);
    let response = answer(&context, Request::from_parts(head, body), routed).await;
    context.size.release_body();
    let response = negotiate::represent(&context, response).await;
    let mut response = hold(state, &context, response).await;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, state.0.server_name.clone());
    headers.insert(X_SERVER_NAME, state.0.host_name.clone());
    headers.insert(X_REQUEST_ID, context.id.clone());
    headers.insert(X_RESPONSE_TIME, HeaderValue::from(context.started.elapsed().as_millis() as u64));
    if let Some(age) = context.stale.get() {
        headers.insert(X_IMGAPI_STALE, HeaderValue::from(age.as_secs()));
    }
    if !body_progress.is_complete() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    challenge(state, &mut response);
    guard.watch(response)
}

/// Waits for memory for an answer that the client may not read soon. If there is none, a read fails; the answer to a
/// change is sent anyway, because the change was made.
async fn hold(state: &AppState, context: &Context, response: Response) -> Response {
    let Some(JsonText(text)) = response.extensions().get::<JsonText>() else { return response };
    // The body of an error may be another representation of it, and is short.
    if !response.status().is_success() {
        return response;
    }
    match state.0.answers.reserve(text).await {
        Ok(text) => response.map(|_| Body::from(text)),
        Err(NoMemory) if context.method != Method::GET => response,
        Err(NoMemory) => {
            let message = "too many answers are waiting to be read";
            ApiError::new(Code::ServiceUnavailableError, message).into_response()
        }
    }
}

/// Adds the header that tells a client with a 401 how to authenticate.
fn challenge(state: &AppState, response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(challenge) = state.auth().challenge()
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
}

async fn answer(context: &Context, mut request: Request, mut routed: Router) -> Response {
    if let Err(error) = check_host(&request) {
        return error.into_response();
    }
    request.extensions_mut().insert(context.clone());
    if context.is_quiet() {
        // The span is only for records that are written during the request.
        return infallible(routed.call(request).await);
    }
    let span = tracing::info_span!("request", req_id = context.id_text());
    infallible(routed.call(request).instrument(span).await)
}

/// Checks the header `Host`: HTTP/1.1 requires exactly one, and HTTP/1.0 allows at most one. With several, the servers
/// on a request's way might disagree about its host (RFC 9112, section 3.2).
fn check_host(request: &Request) -> ApiResult<()> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let refused =
        |problem: &str| Err(ApiError::new(Code::BadRequestError, format!("the header Host {problem}")));
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => refused("is there more than once"),
        (None, None) if request.version() >= Version::HTTP_11 => refused("is missing"),
        (Some(host), None) if !is_host(host.as_bytes()) => refused("names no host"),
        _ => Ok(()),
    }
}

/// A client whose URL has no host sends an empty one.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

fn infallible(result: Result<Response, Infallible>) -> Response {
    match result {
        Ok(response) => response,
    }
}

/// Returns the path with every run of slashes replaced by one; `None` if there is none to replace.
fn normal_path(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.contains("//") {
        return None;
    }
    let mut normal = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !normal.ends_with('/') {
            normal.push(c);
        }
    }
    if let Some(query) = uri.query() {
        normal.push('?');
        normal.push_str(query);
    }
    normal.parse().ok()
}

/// The last step before a handler: the path has matched; checks the method, the version and the caller.
async fn gate(
    State((state, table)): State<(AppState, Arc<RouteTable>)>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let Some(path) = path else { return next.run(request).await };
    let Some(route) = table.route(request.method(), path.as_str()) else {
        return wrong_method(&table, path.as_str(), &request);
    };
    if let Some(error) = request.extensions().get::<Context>().and_then(|context| context.params.too_many()) {
        return error.into_response();
    }
    if !escapes_are_valid(request.uri().path()) {
        let message = format!("malformed escape in {}", request.uri().path());
        return ApiError::new(Code::BadRequestError, message).into_response();
    }
    if let Err(error) = refuse_part(request.method(), request.headers())
        .and_then(|()| refuse_transfer_coding(request.headers()))
    {
        return error.into_response();
    }
    let version = match version::negotiate(request.headers()) {
        Ok(version) => version,
        Err(error) => return error.into_response(),
    };
    if let Some(context) = request.extensions().get::<Context>() {
        let _ = context.route.set(route.name);
        let _ = context.version.set(version);
    }
    let (mut parts, body) = request.into_parts();
    match auth::admit(&state, route.requirement, &mut parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}

/// Rejects a body that is declared as a part, as by `curl -C`: it would be taken for the whole (RFC 9110, section 14.5).
fn refuse_part(method: &Method, headers: &HeaderMap) -> ApiResult<()> {
    if matches!(*method, Method::PUT | Method::POST) && headers.contains_key(header::CONTENT_RANGE) {
        let message = "a request cannot have a Content-Range: bodies are sent as a whole";
        return Err(ApiError::new(Code::BadRequestError, message));
    }
    Ok(())
}

/// Rejects transfer codings other than chunked, because only that one is decoded here; a body with another one would be
/// stored encoded (RFC 9112, section 6.1).
fn refuse_transfer_coding(headers: &HeaderMap) -> ApiResult<()> {
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    match codings[..] {
        [] => Ok(()),
        [coding] if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            let message = "a Transfer-Encoding has to be chunked";
            Err(ApiError::new(Code::BadRequestError, message))
        }
    }
}

async fn unknown_path(method: Method, uri: Uri) -> Response {
    // `OPTIONS *` asks about the server as a whole.
    if method == Method::OPTIONS && uri.path() == "*" {
        return StatusCode::OK.into_response();
    }
    ApiError::new(Code::ResourceNotFound, format!("{} does not exist", uri.path())).into_response()
}

fn wrong_method(table: &RouteTable, path: &str, request: &Request) -> Response {
    if let Some(preflight) = cors::preflight(request, table, path) {
        return preflight;
    }
    let message = format!("{} is not allowed", request.method());
    let mut response = ApiError::new(Code::MethodNotAllowedError, message).into_response();
    if let Ok(allowed) = HeaderValue::try_from(table.allowed(path)) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(uri: &str) -> String {
        let uri: Uri = uri.parse().unwrap();
        normal_path(&uri).unwrap_or(uri).to_string()
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in
            ["", "x", "imgapi.coal.joyent.us", "10.99.99.21:80", "[::1]:8080", "a_b-c.d", "localhost:"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in ["a b", "u:p@h", "http://h", "h/x", "a\"b", "é"] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn runs_of_slashes_are_one() {
        assert_eq!(path("//images///x//?a=//b"), "/images/x/?a=//b");
        assert_eq!(path("/images"), "/images");
        assert_eq!(path("/"), "/");
    }
}
