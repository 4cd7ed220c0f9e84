// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The control: an HTTP API that injects faults, for people and for tests in other languages.
//!
//! `SERVICE` is `sapi`, `manta`, `workflow`, `vmapi` or `cnapi`.
//!
//! | request | |
//! |---|---|
//! | `POST /SERVICE/faults` | adds a fault; the body is a [`FaultRule`] in JSON: 204 |
//! | `GET /SERVICE/faults` | returns the active faults: 200 and a JSON array |
//! | `DELETE /SERVICE/faults` | removes all faults and resumes the stalled requests: 204 |
//! | `POST /SERVICE/stop` | closes the port and all connections: 204 |
//! | `POST /SERVICE/start` | opens the port again: 204 |
//! | `…/cnapi/tasks/faults` | the same three requests for the creation of images; a fault may name its VM |
//! | `POST /workflow/runner/pause`, `…/resume`, `…/restart` | controls the runner: 204 |
//! | `PUT /vms/UUID`, `PUT /servers/UUID` | adds or changes a machine or a server: 204 |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cnapi::Server;
use crate::datacenter::Services;
use crate::faults::{FaultRule, Faults};
use crate::manta::MantaServer;
use crate::net::{Endpoint, Service};
use crate::rest::RestServer;
use crate::sapi::SapiServer;
use crate::vmapi::{Fleet, Vm};

/// A running control.
#[derive(Debug)]
pub(crate) struct Control(Endpoint<Routes>);

#[derive(Debug)]
struct Routes(Router);

/// An empty answer, or an error.
type Done = Result<StatusCode, (StatusCode, String)>;

impl Service for Routes {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = TowerToHyperService::new(self.0.clone());
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a connection to the control broke");
        }
    }
}

impl Control {
    /// Listens on `address`. Port 0 chooses a free port.
    pub(crate) async fn bind(
        address: SocketAddr,
        sapi: &Arc<SapiServer>,
        manta: Option<&Arc<MantaServer>>,
        services: Option<&Arc<Services>>,
    ) -> io::Result<Self> {
        let mut router =
            Router::new().nest("/sapi", faults(sapi.faults().clone()).merge(power(sapi, |sapi| sapi)));
        if let Some(manta) = manta {
            router = router.nest("/manta", faults(manta.faults().clone()).merge(power(manta, |manta| manta)));
        }
        if let Some(services) = services {
            let workflow = faults(services.workflow().faults().clone())
                .merge(power(services, Services::workflow))
                .merge(runner(Arc::clone(services)));
            let vmapi = faults(services.vmapi().faults().clone()).merge(power(services, Services::vmapi));
            let cnapi = faults(services.cnapi().faults().clone())
                .merge(power(services, Services::cnapi))
                .nest("/tasks", faults(services.cnapi().task_faults().clone()));
            router = router
                .nest("/workflow", workflow)
                .nest("/vmapi", vmapi)
                .nest("/cnapi", cnapi)
                .merge(fleet(services.fleet().clone()));
        }
        Ok(Self(Endpoint::bind(address, Routes(router)).await?))
    }

    /// Returns the address that the control listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Closes the port.
    pub(crate) async fn stop(&self) {
        self.0.stop().await;
    }
}

/// A part of a rule: the fault, or the condition. It is read and written as JSON.
trait RulePart: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> RulePart for T {}

fn faults<F: RulePart, C: RulePart>(faults: Faults<F, C>) -> Router {
    let list = async |State(faults): State<Faults<F, C>>| Json(faults.list());
    let clear = async |State(faults): State<Faults<F, C>>| {
        faults.clear();
        StatusCode::NO_CONTENT
    };
    Router::new().route("/faults", get(list).post(add_fault::<F, C>).delete(clear)).with_state(faults)
}

/// Adds a fault. Unknown members are rejected: a fault with a misspelt condition would apply to every request.
async fn add_fault<F: RulePart, C: RulePart>(
    State(faults): State<Faults<F, C>>,
    Json(body): Json<Value>,
) -> Done {
    let rule: FaultRule<F, C> = serde_json::from_value(body.clone()).map_err(refused)?;
    let read = serde_json::to_value(&rule).map_err(refused)?;
    let mut given = body.as_object().into_iter().flatten();
    if let Some((name, _)) = given.find(|(name, _)| read.get(name.as_str()).is_none()) {
        return Err(refused(format!("{name:?} has no place in this fault")));
    }
    faults.set(rule);
    Ok(StatusCode::NO_CONTENT)
}

fn refused(reason: impl ToString) -> (StatusCode, String) {
    (StatusCode::UNPROCESSABLE_ENTITY, format!("{}\n", reason.to_string()))
}

fn failed(error: io::Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

/// A server whose port can be closed and opened.
trait Power: Send + Sync + 'static {
    fn off(&self) -> impl Future<Output = ()> + Send;
    fn on(&self) -> impl Future<Output = io::Result<()>> + Send;
}

impl<S: Send + Sync + 'static> Power for RestServer<S> {
    async fn off(&self) {
        self.stop().await;
    }
    async fn on(&self) -> io::Result<()> {
        self.start().await
    }
}

impl Power for MantaServer {
    async fn off(&self) {
        self.stop().await;
    }
    async fn on(&self) -> io::Result<()> {
        self.start().await
    }
}

/// Returns the routes that close and open the port of one server of `owner`.
fn power<O: Send + Sync + 'static, P: Power>(owner: &Arc<O>, server: fn(&O) -> &P) -> Router {
    let stop = async move |State(owner): State<Arc<O>>| {
        server(&owner).off().await;
        StatusCode::NO_CONTENT
    };
    let start = async move |State(owner): State<Arc<O>>| -> Done {
        server(&owner).on().await.map_err(failed)?;
        Ok(StatusCode::NO_CONTENT)
    };
    Router::new().route("/stop", post(stop)).route("/start", post(start)).with_state(Arc::clone(owner))
}

fn runner(services: Arc<Services>) -> Router {
    Router::new().route("/runner/{what}", post(switch_runner)).with_state(services)
}

async fn switch_runner(State(services): State<Arc<Services>>, Path(what): Path<String>) -> Done {
    match what.as_str() {
        "pause" => services.workflow().pause_runner(),
        "resume" => services.workflow().resume_runner(),
        "restart" => services.workflow().restart_runner().await.map_err(failed)?,
        _ => return Err((StatusCode::NOT_FOUND, "neither pause, nor resume, nor restart\n".to_owned())),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn fleet(fleet: Fleet) -> Router {
    Router::new()
        .route("/vms/{uuid}", put(put_vm))
        .route("/servers/{uuid}", put(put_server))
        .with_state(fleet)
}

fn stored(fits: bool) -> Done {
    if fits { Ok(StatusCode::NO_CONTENT) } else { Err(refused("there are too many")) }
}

/// The body contains the changes to a machine, or all members of a new one.
async fn put_vm(State(fleet): State<Fleet>, Path(uuid): Path<String>, Json(body): Json<Value>) -> Done {
    let vm: Vm = changed(fleet.vm(&uuid), &uuid, body)?;
    stored(fleet.put_vm(vm))
}

async fn put_server(State(fleet): State<Fleet>, Path(uuid): Path<String>, Json(body): Json<Value>) -> Done {
    let server: Server = changed(fleet.server(&uuid), &uuid, body)?;
    stored(fleet.put_server(server))
}

fn changed<T: Serialize + DeserializeOwned>(
    old: Option<T>,
    uuid: &str,
    body: Value,
) -> Result<T, (StatusCode, String)> {
    let mut value = serde_json::to_value(old).map_err(refused)?.as_object().cloned().unwrap_or_default();
    let members = body.as_object().cloned().ok_or_else(|| refused("no object"))?;
    value.extend(members);
    value.insert("uuid".to_owned(), uuid.into());
    serde_json::from_value(value.into()).map_err(refused)
}
