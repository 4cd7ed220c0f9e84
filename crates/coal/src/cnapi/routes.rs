// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The routes.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::server::Server;
use super::tasks::{Order, Task, Tasks};
use crate::rest::{RestError, RestResult, object};
use crate::vmapi::{Fleet, Vm};

/// Default timeout of a wait.
const WAIT: Duration = Duration::from_secs(3_600);
/// Maximum size of a body, in bytes.
const MAX_BODY: usize = 4 << 20;

/// State shared by the handlers.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) fleet: Fleet,
    pub(super) tasks: Tasks,
}

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/ping", get(ping))
        .route("/servers", get(servers))
        .route("/servers/{server}", get(server))
        .route("/servers/{server}/vms/{vm}", get(vm))
        .route("/servers/{server}/vms/{vm}/images", post(create_image))
        .route("/tasks/{id}", get(task))
        .route("/tasks/{id}/wait", get(wait))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
}

async fn ping() -> Json<Value> {
    Json(json!({"ready": true, "pid": std::process::id()}))
}

/// Returns CNAPI's description of a server.
fn described(server: &Server) -> Value {
    let mut sysinfo = Map::new();
    sysinfo.insert("Live Image".to_owned(), json!(server.current_platform));
    sysinfo.insert("UUID".to_owned(), json!(server.uuid));
    sysinfo.insert("Hostname".to_owned(), json!(server.hostname));
    if let Some(version) = &server.sdc_version {
        sysinfo.insert("SDC Version".to_owned(), json!(version));
    }
    json!({
        "uuid": server.uuid,
        "hostname": server.hostname,
        "current_platform": server.current_platform,
        "boot_platform": server.current_platform,
        "status": "running",
        "setup": true,
        "sysinfo": sysinfo,
    })
}

async fn servers(State(api): State<Api>) -> Json<Vec<Value>> {
    Json(api.fleet.servers().iter().map(described).collect())
}

fn find(api: &Api, uuid: &str) -> RestResult<Server> {
    api.fleet.server(uuid).ok_or_else(|| RestError::not_found(format!("Server {uuid} not found")))
}

fn find_vm(api: &Api, server: &str, uuid: &str) -> RestResult<Vm> {
    find(api, server)?;
    let vm = api.fleet.vm(uuid).filter(|vm| vm.server_uuid.as_deref() == Some(server));
    vm.ok_or_else(|| RestError::not_found(format!("VM {uuid} not found")))
}

async fn server(State(api): State<Api>, Path(uuid): Path<String>) -> RestResult<Json<Value>> {
    Ok(Json(described(&find(&api, &uuid)?)))
}

async fn vm(State(api): State<Api>, Path((server, vm)): Path<(String, String)>) -> RestResult<Json<Vm>> {
    find_vm(&api, &server, &vm).map(Json)
}

async fn create_image(
    State(api): State<Api>,
    Path((server, vm)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> RestResult<Json<Value>> {
    let server = find(&api, &server)?;
    let vm = find_vm(&api, &server.uuid, &vm)?;
    let body: Map<String, Value> = object(&body)?;
    let has = |name: &str, is: fn(&Value) -> bool| body.get(name).is_some_and(is);
    let may = |name: &str, is: fn(&Value) -> bool| body.get(name).is_none_or(is);
    let valid = has("compression", Value::is_string)
        && has("imgapi_url", Value::is_string)
        && has("manifest", Value::is_object)
        && may("jobid", Value::is_string)
        && may("prepare_image_script", Value::is_string)
        && may("incremental", Value::is_boolean);
    let invalid = |reason: String| RestError::internal(format!("the parameters are not valid: {reason}"));
    if !valid {
        return Err(invalid("a member is missing, or of another type".to_owned()));
    }
    let order: Order = serde_json::from_value(body.into()).map_err(|error| invalid(error.to_string()))?;
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let id = api.tasks.begin(server, vm, order, request_id)?;
    Ok(Json(json!({"id": id})))
}

fn no_task(id: &str) -> RestError {
    RestError::not_found(format!("Task {id} not found"))
}

async fn task(State(api): State<Api>, Path(id): Path<String>) -> RestResult<Json<Task>> {
    api.tasks.get(&id).map(Json).ok_or_else(|| no_task(&id))
}

async fn wait(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> RestResult<Json<Task>> {
    let seconds = query.get("timeout").and_then(|text| text.parse().ok());
    let time = seconds.map_or(WAIT, Duration::from_secs).min(WAIT);
    api.tasks.wait(&id, time).await.map(Json).ok_or_else(|| no_task(&id))
}
