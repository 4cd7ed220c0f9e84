// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The calls of the Workflow API.

use reqwest::Method;
use serde_json::{Value, json};

use super::service::{Call, Service};
use super::workflows::Workflow;
use super::{JobsError, NewJob};
use crate::manifest::Uuid;
use crate::telemetry::excerpt;

/// Not the UUID of a workflow: a look-up of it shows whether the API can read its database.
const NO_WORKFLOW: &str = "/workflows/workflow-check";

/// A client of the Workflow API.
#[derive(Debug)]
pub(super) struct Wfapi(Service);

/// A stored workflow.
#[derive(Debug)]
pub(super) struct StoredWorkflow {
    pub(super) uuid: Uuid,
    pub(super) content: Value,
}

/// The result of sending a job.
#[derive(Debug)]
pub(super) enum Created {
    /// The job was stored.
    Yes,
    /// The job was not stored, because its workflow does not exist.
    NoSuchWorkflow(JobsError),
    /// The job was not stored.
    No(JobsError),
    /// The job may have been stored.
    Perhaps(JobsError),
}

impl Wfapi {
    pub(super) fn new(service: Service) -> Wfapi {
        Wfapi(service)
    }

    /// Checks that the API answers and that its database is available.
    pub(super) async fn ping(&self) -> Result<(), JobsError> {
        let answer = self.0.call(Call::get("ping", "/ping")).await?;
        match answer.get("backend").and_then(Value::as_str) {
            // If the API does not know the state of its database yet, the probe finds it out.
            Some("up" | "unknown") | None => self.probe().await,
            Some(other) => Err(JobsError::Down(format!("its backend is {}", excerpt(other)))),
        }
    }

    /// Returns the name and version that the API reports.
    pub(super) fn version(&self) -> Option<String> {
        self.0.version()
    }

    async fn probe(&self) -> Result<(), JobsError> {
        match self.0.call(Call::get("probe", NO_WORKFLOW)).await {
            Ok(_) | Err(JobsError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn find_workflow(&self, name: &str) -> Result<Option<StoredWorkflow>, JobsError> {
        let query = [("name", name)];
        let call = Call { query: &query, ..Call::get("list_workflows", "/workflows") };
        let Value::Array(workflows) = self.0.call(call).await? else {
            return Err(not("a list of workflows"));
        };
        let named = |workflow: &Value| workflow.get("name").and_then(Value::as_str) == Some(name);
        workflows.into_iter().find(named).map(stored).transpose()
    }

    pub(super) async fn add_workflow(&self, workflow: &Workflow) -> Result<StoredWorkflow, JobsError> {
        let body = Some(&workflow.body);
        let call = Call { method: Method::POST, body, ..Call::get("add_workflow", "/workflows") };
        stored(self.0.call(call).await?)
    }

    pub(super) async fn replace_workflow(&self, uuid: Uuid, workflow: &Workflow) -> Result<(), JobsError> {
        let path = format!("/workflows/{uuid}");
        let body = Some(&workflow.body);
        let call = Call { method: Method::PUT, body, ..Call::get("replace_workflow", path) };
        self.0.call(call).await.map(drop)
    }

    /// Sends a job with a UUID that was chosen here.
    pub(super) async fn add_job(&self, workflow: Uuid, job: &NewJob, request_id: &str) -> Created {
        let mut body = job.params.clone();
        body.insert("task".into(), json!(job.task.as_str()));
        body.insert("target".into(), json!(job.target));
        body.insert("workflow".into(), json!(workflow));
        body.insert("uuid".into(), json!(job.uuid));
        let body = Value::Object(body);
        let call =
            Call { method: Method::POST, body: Some(&body), request_id, ..Call::get("add_job", "/jobs") };
        let error = match self.0.call(call).await {
            Ok(created) if uuid_of(&created) == Some(job.uuid) => return Created::Yes,
            Ok(_) => not("the job that was sent"),
            Err(error) => error,
        };
        match &error {
            JobsError::Refused { status: 404 | 409, message, .. } if message.contains("workflow") => {
                Created::NoSuchWorkflow(error)
            }
            // An earlier attempt has arrived late (412), or the conflict is about something else.
            JobsError::Refused { status: 409 | 412, .. } => Created::Perhaps(error),
            JobsError::Refused { status, .. } if *status < 500 => Created::No(error),
            JobsError::Down(_) | JobsError::Absent => Created::No(error),
            _ => Created::Perhaps(error),
        }
    }

    /// Returns the job with this UUID.
    pub(super) async fn job(&self, uuid: Uuid, request_id: &str) -> Result<Option<Value>, JobsError> {
        let call = Call { request_id, ..Call::get("get_job", format!("/jobs/{uuid}")) };
        match self.0.call(call).await {
            Ok(job) if uuid_of(&job) == Some(uuid) => Ok(Some(job)),
            Ok(_) => Err(not("the job that was asked for")),
            Err(JobsError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the jobs of a task that concern an image. `task` and `execution` are inserted into a filter unescaped.
    pub(super) async fn jobs(
        &self,
        image: Uuid,
        task: &str,
        execution: Option<&str>,
        request_id: &str,
    ) -> Result<Vec<Value>, JobsError> {
        let image = image.to_string();
        let mut query = vec![("image_uuid", image.as_str()), ("task", task)];
        query.extend(execution.map(|execution| ("execution", execution)));
        let call = Call { query: &query, request_id, ..Call::get("list_jobs", "/jobs") };
        match self.0.call(call).await? {
            Value::Array(jobs) => Ok(jobs),
            _ => Err(not("a list of jobs")),
        }
    }
}

fn stored(content: Value) -> Result<StoredWorkflow, JobsError> {
    let uuid = uuid_of(&content).ok_or_else(|| not("a workflow"))?;
    Ok(StoredWorkflow { uuid, content })
}

fn uuid_of(object: &Value) -> Option<Uuid> {
    object.get("uuid")?.as_str()?.parse().ok()
}

fn not(what: &str) -> JobsError {
    JobsError::Unusable(format!("it is not {what}"))
}
