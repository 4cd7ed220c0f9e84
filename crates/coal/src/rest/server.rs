// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server: a port, a router, and fault switches.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::error::{RestError, RestResult};
use super::faults::{Garbage, RestFault, RestFaults};
use crate::net::{Endpoint, Service};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The server of one service, which keeps `state` for those that run it.
#[derive(Debug)]
pub struct RestServer<S = ()> {
    endpoint: Endpoint<Exchange>,
    faults: RestFaults,
    state: S,
}

#[derive(Debug)]
struct Exchange {
    service: TowerToHyperService<Router>,
    faults: RestFaults,
    down: Ping,
}

/// The answer to `/ping` while the service's database is unavailable.
type Ping = (StatusCode, Value);

/// Returns the usual answer, which also contains the process id.
fn usual_ping() -> Ping {
    let down = json!({"pid": std::process::id(), "backend": "down", "backend_error": DOWN});
    (StatusCode::OK, down)
}

const DOWN: &str = "Backend not connected";

/// The connection must be closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct HangUp;

impl Service for Exchange {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.exchange(request));
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

impl Exchange {
    async fn exchange(&self, request: Request<Incoming>) -> Result<Response, HangUp> {
        let began = Instant::now();
        let path = request.uri().path().to_owned();
        let request_id = request.headers().get(X_REQUEST_ID).cloned();
        let fault = self.faults.meet(request.method().as_str(), &path).await;
        let mut response = match fault {
            None => self.answer(request).await,
            Some(RestFault::LostAnswer) => {
                self.answer(request).await;
                return Err(HangUp);
            }
            Some(RestFault::BackendDown) if path == "/ping" => {
                let (status, body) = self.down.clone();
                (status, Json(body)).into_response()
            }
            Some(fault) => faulty(fault)?,
        };
        let headers = response.headers_mut();
        let request_id = request_id.or_else(|| HeaderValue::try_from(Uuid::new_v4().to_string()).ok());
        if let Some(id) = request_id {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert("x-response-time", HeaderValue::from(began.elapsed().as_millis() as u64));
        headers.insert("x-server-name", HeaderValue::from_static("coal"));
        Ok(response)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response {
        match self.service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Returns the answer that a fault sends instead of the service's.
fn faulty(fault: RestFault) -> Result<Response, HangUp> {
    Ok(match fault {
        RestFault::InternalError => RestError::internal("asked for").into_response(),
        RestFault::MorayFailure => RestError::internal("no active connections").into_response(),
        RestFault::Conflict => RestError::conflict("asked for").into_response(),
        RestFault::BackendDown | RestFault::Unavailable => {
            RestError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", DOWN).into_response()
        }
        RestFault::Garbage { body: Garbage::NoJson } => "<html>It works!</html>".into_response(),
        RestFault::Garbage { body: Garbage::WrongJson } => Json(json!(["no", 4, null])).into_response(),
        RestFault::Garbage { body: Garbage::Cut } => {
            let begin = stream::once(async { Ok(Bytes::from_static(b"[{\"uuid\":\"0c")) });
            let end = stream::once(async {
                // This lets the connection flush the bytes that were sent before.
                tokio::task::yield_now().await;
                Err(io::Error::other(HangUp))
            });
            let mut response = Response::new(Body::from_stream(begin.chain(end)));
            response.headers_mut().insert("content-length", HeaderValue::from_static("1000"));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            response
        }
        // The stall was waited for before.
        RestFault::HangUp | RestFault::LostAnswer | RestFault::Stall => return Err(HangUp),
    })
}

impl RestServer {
    /// Listens on `address`. Port 0 chooses a free port.
    pub(crate) async fn serve(address: SocketAddr, router: Router) -> io::Result<Self> {
        Self::serve_with_ping(address, router, usual_ping()).await
    }

    /// Listens on `address`. While the database is unavailable, `/ping` answers `down`.
    pub(crate) async fn serve_with_ping(address: SocketAddr, router: Router, down: Ping) -> io::Result<Self> {
        let faults = RestFaults::default();
        let router = router.fallback(async |request: Request<Body>| -> Result<Infallible, RestError> {
            Err(RestError::not_found(format!("{} does not exist", request.uri().path())))
        });
        let exchange = Exchange { service: TowerToHyperService::new(router), faults: faults.clone(), down };
        Ok(Self { endpoint: Endpoint::bind(address, exchange).await?, faults, state: () })
    }

    /// Adds the state.
    pub(crate) fn with<S>(self, state: S) -> RestServer<S> {
        RestServer { endpoint: self.endpoint, faults: self.faults, state }
    }
}

impl<S> RestServer<S> {
    /// Returns the state.
    pub(crate) fn state(&self) -> &S {
        &self.state
    }

    /// Returns the address that the server listens on, or did before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Returns the URL, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the fault switches.
    pub fn faults(&self) -> &RestFaults {
        &self.faults
    }

    /// Closes the port and all connections. What the service does without a request continues.
    pub async fn stop(&self) {
        self.endpoint.stop().await;
    }

    /// Listens again on the same port with the same data.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.endpoint.start().await
    }
}

/// Parses a body as a JSON object. An empty body is an empty object.
pub(crate) fn object(body: &[u8]) -> RestResult<Map<String, Value>> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let invalid = |reason: String| {
        RestError::new(StatusCode::BAD_REQUEST, "InvalidContent", format!("Invalid JSON: {reason}"))
    };
    serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))
}
