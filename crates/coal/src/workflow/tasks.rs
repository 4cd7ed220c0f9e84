// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Turns the body of a POST into a workflow.

use axum::http::StatusCode;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::script::{ScriptError, check_function};
use crate::rest::{RestError, RestResult};

/// Members of the body that are stored.
const MEMBERS: [&str; 9] =
    ["name", "uuid", "timeout", "chain", "onerror", "max_attempts", "initial_delay", "max_delay", "oncancel"];
/// The members that are lists of tasks.
const CHAINS: [&str; 3] = ["chain", "onerror", "oncancel"];

/// Creates the workflow to store from the body of a POST. Sources are evaluated, objects become JSON texts, and UUIDs and digests
/// are added. The evaluation takes some time.
pub(super) fn from_post(body: &Map<String, Value>) -> RestResult<Map<String, Value>> {
    let kept = |name: &str| body.get(name).filter(|value| is_truthy(value));
    let mut workflow: Map<String, Value> =
        MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), kept(name)?.clone()))).collect();
    if !workflow.contains_key("name") {
        return Err(RestError::internal("Workflow \"name\" is required"));
    }
    workflow.entry("chain").or_insert_with(|| json!([]));
    workflow.entry("uuid").or_insert_with(|| json!(Uuid::new_v4().to_string()));
    if !workflow.get("max_attempts").is_some_and(Value::is_number) {
        workflow.insert("max_attempts".to_owned(), json!(10));
    }
    for name in CHAINS {
        let Some(chain) = workflow.get_mut(name) else { continue };
        let tasks = chain
            .as_array_mut()
            .ok_or_else(|| RestError::internal(format!("Workflow \"{name}\" must be an array")))?;
        tasks.iter_mut().try_for_each(stored_task)?;
        let digest = hex::encode(Md5::digest(chain.to_string().as_bytes()));
        workflow.insert(format!("{name}_md5"), json!(digest));
    }
    match body.get("timeout") {
        Some(Value::Number(timeout)) if timeout.as_f64() == Some(0.0) => {}
        Some(Value::Number(_)) => {}
        _ => {
            workflow.insert("timeout".to_owned(), json!(3600));
        }
    }
    Ok(workflow)
}

/// Rejects a PUT that contains a task without a body.
pub(super) fn check_put(body: &Map<String, Value>) -> RestResult<()> {
    let tasks = CHAINS.iter().filter_map(|name| body.get(*name)?.as_array()).flatten();
    for task in tasks {
        body_of(task)?;
    }
    Ok(())
}

fn body_of(task: &Value) -> RestResult<&str> {
    let body = task.get("body").and_then(Value::as_str).filter(|body| !body.is_empty());
    body.ok_or_else(|| RestError::conflict("Task body is required"))
}

fn stored_task(task: &mut Value) -> RestResult<()> {
    let body = evaluated("body", body_of(task)?)?;
    let fallback = task.get("fallback").filter(|value| is_truthy(value));
    let fallback = match fallback {
        Some(source) => Some(evaluated("fallback", source.as_str().unwrap_or_default())?),
        None => None,
    };
    let Some(task) = task.as_object_mut() else { return Ok(()) };
    task.insert("body".to_owned(), json!(body));
    if let Some(fallback) = fallback {
        task.insert("fallback".to_owned(), json!(fallback));
    }
    if !task.get("uuid").is_some_and(is_truthy) {
        task.insert("uuid".to_owned(), json!(Uuid::new_v4().to_string()));
    }
    for value in task.values_mut().filter(|value| value.is_object() || value.is_array()) {
        *value = json!(value.to_string());
    }
    Ok(())
}

fn evaluated(member: &str, source: &str) -> RestResult<String> {
    check_function(source).map_err(|error| match error {
        ScriptError::NoFunction => RestError::internal(format!("Task \"{member}\" must be a function")),
        error => RestError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error.to_string()),
    })
}

/// Returns whether JavaScript treats a value as true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
