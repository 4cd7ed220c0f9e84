// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The routes of the API.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::job::{self, Refused};
use super::listing;
use super::runner::Runner;
use super::store::{Added, Object, Store, StoreError, text};
use super::tasks;
use crate::rest::{RestError, RestResult, object};
use crate::timestamp::now;

/// Maximum size of a body, in bytes.
const MAX_BODY: usize = 4 << 20;

/// State shared by the handlers.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) store: Store,
    pub(super) runner: Runner,
}

/// Returns all routes.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/ping", get(ping))
        .route("/stats", get(stats))
        .route("/workflows", get(list_workflows).post(add_workflow))
        .route("/workflows/{uuid}", get(get_workflow).put(put_workflow).delete(delete_workflow))
        .route("/jobs", get(list_jobs).post(add_job))
        .route("/jobs/{uuid}", get(get_job))
        .route("/jobs/{uuid}/info", get(list_info).post(add_info))
        .route("/jobs/{uuid}/cancel", post(cancel))
        .route("/jobs/{uuid}/resume", post(resume))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
}

impl From<StoreError> for RestError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of the Workflow API does not work");
        Self::internal(error.to_string())
    }
}

/// The UUID in the path of a request.
type Id = Path<String>;

async fn ping() -> Json<Value> {
    Json(json!({"pid": std::process::id(), "backend": "up"}))
}

async fn stats(State(api): State<Api>) -> RestResult<Json<Value>> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for job in api.store.jobs().await? {
        *counts.entry(text(&job, "execution").to_owned()).or_default() += 1;
    }
    Ok(Json(json!({"all_time": counts})))
}

/// Returns the answer about one object. If the request has no id, the UUID is used as its id.
fn about(request: &HeaderMap, status: StatusCode, uuid: &str, object: Object) -> Response {
    let mut response = (status, Json(object)).into_response();
    if !request.contains_key("request-id")
        && let Ok(uuid) = HeaderValue::from_str(uuid)
    {
        response.headers_mut().insert("request-id", uuid);
    }
    response
}

fn created(request: &HeaderMap, folder: &str, object: Object) -> Response {
    let uuid = text(&object, "uuid").to_owned();
    let mut response = about(request, StatusCode::CREATED, &uuid, object);
    if let Ok(location) = HeaderValue::from_str(&format!("{folder}/{uuid}")) {
        response.headers_mut().insert("location", location);
    }
    response
}

fn no_workflow(uuid: &str) -> RestError {
    RestError::not_found(format!("Workflow with uuid '{uuid}' does not exist"))
}

fn no_job(uuid: &str) -> RestError {
    RestError::not_found(format!("Job with uuid '{uuid}' does not exist"))
}

async fn list_workflows(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> RestResult<Json<Vec<Object>>> {
    let workflows = api.store.workflows().await?;
    let Some(wanted) = query.get("name") else { return Ok(Json(workflows)) };
    Ok(Json(workflows.into_iter().filter(|workflow| matches(wanted, text(workflow, "name"))).collect()))
}

/// Returns whether the name matches a pattern, in which `*` stands for any text.
fn matches(wanted: &str, name: &str) -> bool {
    let mut parts = wanted.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

async fn add_workflow(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> RestResult<Response> {
    let body = object(&body)?;
    let workflow = tokio::task::spawn_blocking(move || tasks::from_post(&body))
        .await
        .map_err(|error| RestError::internal(error.to_string()))??;
    match api.store.add_workflow(workflow.clone()).await? {
        Added::Yes => Ok(created(&headers, "/workflows", workflow)),
        Added::Exists => Err(RestError::invalid_argument(
            "Workflow.name must be unique. A workflow with the given name already exists",
        )),
    }
}

async fn get_workflow(State(api): State<Api>, Path(uuid): Id, headers: HeaderMap) -> RestResult<Response> {
    let workflow = api.store.workflow(&uuid).await?.ok_or_else(|| no_workflow(&uuid))?;
    Ok(about(&headers, StatusCode::OK, &uuid, workflow))
}

async fn put_workflow(
    State(api): State<Api>,
    Path(uuid): Id,
    headers: HeaderMap,
    body: Bytes,
) -> RestResult<Response> {
    let body = object(&body)?;
    tasks::check_put(&body)?;
    let workflow = api.store.merge_workflow(&uuid, body).await?.ok_or_else(|| no_workflow(&uuid))?;
    Ok(about(&headers, StatusCode::OK, &uuid, workflow))
}

async fn delete_workflow(State(api): State<Api>, Path(uuid): Id) -> RestResult<StatusCode> {
    let removed = api.store.remove_workflow(&uuid).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(no_workflow(&uuid)) }
}

async fn list_jobs(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> RestResult<Response> {
    let page = listing::page(api.store.jobs().await?, &query)?;
    Ok(([("x-count", page.count.to_string())], Json(page.jobs)).into_response())
}

async fn add_job(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> RestResult<Response> {
    let body = object(&body)?;
    let uuid = text(&body, "workflow");
    if uuid.is_empty() {
        return Err(RestError::conflict("\"j.workflow\" is required"));
    }
    let workflow = api.store.workflow(uuid).await?.ok_or_else(|| no_workflow(uuid))?;
    let job = job::from_post(body, &workflow)?;
    let new = job.clone();
    match api.store.add_job(job.clone(), move |other| job::refused(&new, other)).await? {
        Ok(Added::Yes) => {}
        Ok(Added::Exists) => return Err(RestError::invalid_argument("Job with that uuid already exists")),
        Err(Refused::Duplicate) => {
            return Err(RestError::invalid_argument(
                "Another job with the same target and params is already queued",
            ));
        }
        Err(Refused::Locked) => {
            return Err(RestError::invalid_argument("Job target is currently locked by another job"));
        }
    }
    api.runner.wake();
    Ok(created(&headers, "/jobs", job))
}

async fn get_job(State(api): State<Api>, Path(uuid): Id, headers: HeaderMap) -> RestResult<Response> {
    let job = api.store.job(&uuid).await?.ok_or_else(|| no_job(&uuid))?;
    Ok(about(&headers, StatusCode::OK, &uuid, job))
}

async fn list_info(State(api): State<Api>, Path(uuid): Id) -> RestResult<Json<Vec<Object>>> {
    api.store.job(&uuid).await?.ok_or_else(|| no_job(&uuid))?;
    Ok(Json(api.store.info(&uuid).await?))
}

async fn add_info(State(api): State<Api>, Path(uuid): Id, body: Bytes) -> RestResult<StatusCode> {
    let record = object(&body)?;
    api.store.job(&uuid).await?.ok_or_else(|| no_job(&uuid))?;
    api.store.add_info(&uuid, record.into()).await?;
    Ok(StatusCode::OK)
}

/// Marks the job as cancelled. A running job is not told; at its end the runner overwrites the mark.
async fn cancel(State(api): State<Api>, Path(uuid): Id, headers: HeaderMap) -> RestResult<Response> {
    let change = |job: &mut Object| {
        if matches!(text(job, "execution"), "succeeded" | "failed") {
            return None;
        }
        job.insert("execution".to_owned(), json!("canceled"));
        Some(job.clone())
    };
    let job = api.store.change_job(&uuid, change).await?.ok_or_else(|| no_job(&uuid))?;
    let job = job.ok_or_else(|| RestError::conflict("Finished jobs cannot be canceled"))?;
    Ok(about(&headers, StatusCode::OK, &uuid, job))
}

async fn resume(
    State(api): State<Api>,
    Path(uuid): Id,
    headers: HeaderMap,
    body: Bytes,
) -> RestResult<Response> {
    let body = object(&body)?;
    let change = move |job: &mut Object| resumed(job, &body).then(|| job.clone());
    let job = api.store.change_job(&uuid, change).await?.ok_or_else(|| no_job(&uuid))?;
    let job = job.ok_or_else(|| RestError::conflict("Only waiting jobs can be resumed"))?;
    api.runner.wake();
    Ok(about(&headers, StatusCode::OK, &uuid, job))
}

/// Continues or fails a waiting job.
fn resumed(job: &mut Object, body: &Object) -> bool {
    if text(job, "execution") != "waiting" {
        return false;
    }
    let given = |name: &str| body.get(name).cloned();
    let error = given("error");
    let execution = if error.is_some() { "failed" } else { "queued" };
    let result =
        given("result").unwrap_or(if error.is_some() { json!("") } else { json!("External task: OK") });
    if let Some(last) =
        job.get_mut("chain_results").and_then(Value::as_array_mut).and_then(|all| all.last_mut())
    {
        last["result"] = result;
        last["error"] = error.unwrap_or(json!(""));
        last["finished_at"] = json!(now());
    }
    job.insert("execution".to_owned(), json!(execution));
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_in_a_name_stands_for_anything() {
        assert!(matches("a-1", "a-1") && !matches("a-1", "a-12"));
        assert!(matches("a-*", "a-12") && matches("*", "") && matches("a*c*e", "abcde"));
        assert!(!matches("a*b", "a") && !matches("b*", "a"));
    }
}
