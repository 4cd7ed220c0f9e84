//! The control: faults for people and for tests in other languages, over HTTP.
//!
//! | request | |
//! |---|---|
//! | `POST /manta/faults` | adds a fault; the body is a [`MantaFaultRule`] in JSON: 204 |
//! | `GET /manta/faults` | the faults that are switched on: 200 and a JSON array |
//! | `DELETE /manta/faults` | switches all off; what has stalled goes on: 204 |
//! | `POST /manta/stop` | closes the port and all connections: 204 |
//! | `POST /manta/start` | opens the port again: 204 |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::manta::{MantaFaultRule, MantaServer};
use crate::net::{Endpoint, Service};

/// The running control.
#[derive(Debug)]
pub(crate) struct Control(Endpoint<Routes>);

#[derive(Debug)]
struct Routes(Router);

impl Service for Routes {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = TowerToHyperService::new(self.0.clone());
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a connection to the control broke");
        }
    }
}

impl Control {
    /// Listens on `address`; port 0 chooses a free one.
    pub(crate) async fn bind(address: SocketAddr, manta: Arc<MantaServer>) -> io::Result<Self> {
        let router = Router::new()
            .route("/manta/faults", get(list_faults).post(add_fault).delete(clear_faults))
            .route("/manta/stop", post(stop))
            .route("/manta/start", post(start))
            .with_state(manta);
        Ok(Self(Endpoint::bind(address, Routes(router)).await?))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Closes the port.
    pub(crate) async fn stop(&self) {
        self.0.stop().await;
    }
}

async fn list_faults(State(manta): State<Arc<MantaServer>>) -> Json<Vec<MantaFaultRule>> {
    Json(manta.faults().list())
}

/// Refuses what it does not understand: a fault with a misspelt condition would meet everything.
async fn add_fault(
    State(manta): State<Arc<MantaServer>>,
    Json(body): Json<Value>,
) -> Result<StatusCode, (StatusCode, String)> {
    let refused = |reason: String| (StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}\n"));
    let rule: MantaFaultRule =
        serde_json::from_value(body.clone()).map_err(|error| refused(error.to_string()))?;
    let read = serde_json::to_value(&rule).map_err(|error| refused(error.to_string()))?;
    let mut given = body.as_object().into_iter().flatten();
    if let Some((name, _)) = given.find(|(name, _)| read.get(name.as_str()).is_none()) {
        return Err(refused(format!("{name:?} has no place in this fault")));
    }
    manta.faults().set(rule);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(manta): State<Arc<MantaServer>>) -> StatusCode {
    manta.faults().clear();
    StatusCode::NO_CONTENT
}

async fn stop(State(manta): State<Arc<MantaServer>>) -> StatusCode {
    manta.stop().await;
    StatusCode::NO_CONTENT
}

async fn start(State(manta): State<Arc<MantaServer>>) -> Result<StatusCode, (StatusCode, String)> {
    match manta.start().await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}
