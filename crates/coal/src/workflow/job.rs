// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Jobs: how they are created from a workflow and a request, and how they are stored.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::store::{Object, text};
use crate::rest::{RestError, RestResult};
use crate::timestamp::{iso, millis, now};

/// Attributes of a job in the body of a POST. All other members belong to `params`.
const ATTRIBUTES: [&str; 6] = ["workflow", "target", "exec_after", "num_attempts", "uuid", "locks"];
/// Attributes that are kept both in the job and in `params`. Jobs can be searched by them.
pub(super) const EXTRAS: [&str; 6] =
    ["vm_uuid", "server_uuid", "image_uuid", "creator_uuid", "origin", "task"];
/// Members that a task cannot change.
pub(super) const FROZEN: [&str; 25] = [
    "chain",
    "chain_results",
    "onerror",
    "onerror_results",
    "exec_after",
    "timeout",
    "elapsed",
    "uuid",
    "workflow_uuid",
    "name",
    "execution",
    "num_attempts",
    "max_attempts",
    "initial_delay",
    "max_delay",
    "prev_attempt",
    "oncancel",
    "oncancel_results",
    "workflow",
    "created_at",
    "started",
    "log",
    "runner_id",
    "locks",
    "target",
];

/// Why a new job is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Duplicate,
    Locked,
}

/// Creates the job that a POST requests.
pub(super) fn from_post(body: Object, workflow: &Object) -> RestResult<Object> {
    if workflow.get("chain").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(RestError::conflict("Cannot queue a job from a workflow without any task"));
    }
    let mut job = Map::new();
    let mut params = Map::new();
    job.insert("execution".to_owned(), json!("queued"));
    job.insert("chain_results".to_owned(), json!([]));
    for (name, value) in body {
        let is_extra = EXTRAS.contains(&name.as_str());
        if is_extra || ATTRIBUTES.contains(&name.as_str()) {
            job.insert(name.clone(), value.clone());
        }
        if is_extra || !ATTRIBUTES.contains(&name.as_str()) {
            params.insert(name, value);
        }
    }
    job.insert("params".to_owned(), params.into());
    let exec_after = job.get("exec_after").and_then(Value::as_str).and_then(millis);
    let exec_after =
        exec_after.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000).ok());
    job.insert("exec_after".to_owned(), json!(exec_after.map_or_else(now, iso)));
    job.entry("num_attempts").or_insert(json!(0));
    if text(&job, "uuid").is_empty() {
        job.insert("uuid".to_owned(), json!(Uuid::new_v4().to_string()));
    }
    let copied = workflow.iter().filter(|(name, _)| !matches!(name.as_str(), "chain_md5" | "onerror_md5"));
    for (name, value) in copied {
        let name = if name == "uuid" { "workflow_uuid" } else { name };
        job.insert(name.to_owned(), value.clone());
    }
    job.insert("created_at".to_owned(), json!(now()));
    Ok(job)
}

/// Returns why `job` cannot be added while `other`, which has not ended, exists; `None` if it can.
pub(super) fn refused(job: &Object, other: &Object) -> Option<Refused> {
    let target = text(job, "target");
    if target.is_empty() {
        return None;
    }
    let lock = text(other, "locks");
    if !lock.is_empty() && regex::Regex::new(lock).is_ok_and(|lock| lock.is_match(target)) {
        return Some(Refused::Locked);
    }
    let same = target == text(other, "target") && same_params(job, other);
    same.then_some(Refused::Duplicate)
}

/// Compares parameters shallowly: arrays and objects are never equal.
fn same_params(job: &Object, other: &Object) -> bool {
    let params = |job: &Object| job.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let (ours, theirs) = (params(job), params(other));
    let is_deep = |value: &Value| value.is_object() || value.is_array();
    ours.len() == theirs.len()
        && ours.iter().all(|(name, value)| !is_deep(value) && theirs.get(name) == Some(value))
}

/// Returns the stored form of a job: objects that tasks have added become JSON texts.
pub(super) fn stored(job: &Object) -> Object {
    let is_known = |name: &str| FROZEN.contains(&name) || name == "params";
    let member = |(name, value): (&String, &Value)| {
        let is_deep = value.is_object() || value.is_array();
        let value = if is_deep && !is_known(name) { json!(value.to_string()) } else { value.clone() };
        (name.clone(), value)
    };
    job.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_job_of_the_same_target_and_plain_params_is_a_duplicate() {
        let job = object(json!({"target": "/a", "params": {"b": 1}}));
        assert_eq!(refused(&job, &job.clone()), Some(Refused::Duplicate));
        let deep = object(json!({"target": "/a", "params": {"b": [1]}}));
        assert_eq!(refused(&deep, &deep.clone()), None);
        let lock = object(json!({"target": "/x", "locks": "^/a", "params": {}}));
        assert_eq!(refused(&job, &lock), Some(Refused::Locked));
    }

    #[test]
    fn objects_that_tasks_have_set_are_stored_as_text() {
        let job = stored(&object(json!({"params": {"a": 1}, "error": {"message": "no"}, "taskId": "7"})));
        assert_eq!(job["error"], r#"{"message":"no"}"#);
        assert_eq!(job["params"], json!({"a": 1}));
    }
}
