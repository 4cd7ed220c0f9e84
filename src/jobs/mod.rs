// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Jobs: long work in the datacenter's Workflow API. This room has its client, the workflows that it runs for IMGAPI,
//! and the clients of VMAPI and CNAPI, which know the machines that this work concerns.

mod availability;
mod error;
mod job_progress;
mod machines;
mod service;
mod wfapi;
mod workflows;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use crate::config::Config;
use crate::manifest::Uuid;
use crate::telemetry::Metrics;
use crate::workers::Poke;

pub use availability::AvailabilityWatch;
pub use error::JobsError;
pub use job_progress::JobProgress;
pub use machines::{Machines, Server, Vm};
pub use workflows::Task;

use service::Service;
use wfapi::{Created, Wfapi};
use workflows::Workflow;

/// How often a job is sent to the Workflow API as long as it is unknown whether it has arrived.
const ATTEMPTS: usize = 3;

/// The most bytes of a list of jobs: a thousand jobs, each with the script that prepares its image.
const MAX_LIST: usize = 64 << 20;

/// The jobs of a server. A server without a Workflow API has none.
#[derive(Debug, Clone)]
pub struct Jobs(Option<Arc<JobsInner>>);

#[derive(Debug)]
struct JobsInner {
    api: Wfapi,
    /// The URL that clients get.
    url: String,
    tasks: Vec<Task>,
    force_md5_check: bool,
    force_replace: bool,
    known: RwLock<WfapiStatus>,
    watch: Poke,
}

/// What is known of the Workflow API.
#[derive(Debug)]
struct WfapiStatus {
    /// Why no jobs can be started; `None` if they can.
    down: Option<String>,
    /// The UUIDs of the stored workflows.
    workflows: HashMap<Task, Uuid>,
}

/// A job to be started.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job's UUID. It is chosen here, so that the job can be looked up even if the answer is lost.
    pub uuid: Uuid,
    /// The kind of work.
    pub task: Task,
    /// The object of the work, for people and for the Workflow API's check for duplicates.
    pub target: String,
    /// The parameters of its tasks; `task` and `target` are added.
    pub params: Map<String, Value>,
}

impl Jobs {
    /// Makes the client of the configured `wfapi`, which may be absent. [`Jobs::watch`] has to run.
    pub fn new(config: &Config, metrics: &Arc<Metrics>) -> Jobs {
        Jobs(config.jobs.wfapi.as_ref().map(|wfapi| {
            let service = Service::new("wfapi", wfapi.url.clone(), &config.server_name, metrics);
            let service = service.with_limit(MAX_LIST);
            let known =
                WfapiStatus { down: Some("it has not been asked yet".into()), workflows: HashMap::new() };
            Arc::new(JobsInner {
                api: Wfapi::new(service),
                url: wfapi.text.clone(),
                tasks: Task::ALL
                    .into_iter()
                    .filter(|task| wfapi.workflows.contains(&task.as_str()))
                    .collect(),
                force_md5_check: wfapi.force_md5_check,
                force_replace: wfapi.force_replace,
                known: RwLock::new(known),
                watch: Poke::default(),
            })
        }))
    }

    /// Returns the worker that checks whether jobs can be started, and the handle that wakes it; `None` without a Workflow API.
    pub fn watch(&self) -> Option<(AvailabilityWatch, Poke)> {
        self.0.as_ref().map(|shared| (AvailabilityWatch::new(Arc::clone(shared)), shared.watch.clone()))
    }

    /// Checks whether jobs can be started, independently of [`Jobs::watch`].
    pub async fn check_availability(&self) {
        if let Some((mut watch, _)) = self.watch() {
            // The worker reports errors.
            let _ = watch.check_and_record().await;
        }
    }

    /// Returns whether both share one client of the Workflow API, or both have none.
    pub fn ptr_eq(&self, others: &Jobs) -> bool {
        match (&self.0, &others.0) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        }
    }

    /// Returns the URL of the jobs, for clients that poll them.
    pub fn url(&self) -> Option<&str> {
        self.0.as_ref().map(|shared| shared.url.as_str())
    }

    /// Checks that the Workflow API answered the last time.
    ///
    /// # Errors
    /// `Absent`, `Down`.
    pub fn check(&self) -> Result<(), JobsError> {
        self.connected().map(drop)
    }

    /// Checks that the Workflow API can be used now, and returns the name and version that it reports.
    ///
    /// # Errors
    /// `Absent`, or why it cannot be used.
    pub async fn probe(&self) -> Result<Option<String>, JobsError> {
        let shared = self.0.as_deref().ok_or(JobsError::Absent)?;
        shared.api.ping().await?;
        Ok(shared.api.version())
    }

    fn connected(&self) -> Result<&JobsInner, JobsError> {
        let shared = self.0.as_deref().ok_or(JobsError::Absent)?;
        match shared.down() {
            None => Ok(shared),
            Some(reason) => {
                // It may be available again. The next caller need not wait for the next regular check.
                shared.watch.poke();
                Err(JobsError::Down(reason))
            }
        }
    }

    /// Starts a job on behalf of a request.
    ///
    /// # Errors
    /// `OutcomeUnknown` if it is unknown whether it was started. After any other error it was not started.
    pub async fn start(&self, job: &NewJob, request_id: &str) -> Result<(), JobsError> {
        let shared = self.connected()?;
        let started = shared.start(job, request_id).await;
        shared.noticed(&started);
        started
    }

    /// Returns a job as the Workflow API stores it; `None` if it has no such job.
    ///
    /// # Errors
    /// It cannot be found out.
    pub async fn find(&self, job: Uuid, request_id: &str) -> Result<Option<Value>, JobsError> {
        let shared = self.connected()?;
        let found = shared.api.job(job, request_id).await;
        shared.noticed(&found);
        found
    }

    /// Returns the jobs that concern an image, newest first for each task, as the Workflow API stores them. With `task`
    /// only the jobs of that task are returned, otherwise those of all tasks of this server; with `execution` only
    /// those in that state.
    ///
    /// # Errors
    /// One of the lists cannot be read.
    pub async fn list(
        &self,
        image: Uuid,
        task: Option<&str>,
        execution: Option<&str>,
        request_id: &str,
    ) -> Result<Vec<Value>, JobsError> {
        let shared = self.connected()?;
        let all = || shared.tasks.iter().map(|task| task.as_str()).collect();
        let mut jobs = Vec::new();
        for task in task.map_or_else(all, |task| vec![task]) {
            let listed = shared.api.jobs(image, task, execution, request_id).await;
            shared.noticed(&listed);
            jobs.append(&mut listed?);
        }
        Ok(jobs)
    }
}

impl JobsInner {
    fn down(&self) -> Option<String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).down.clone()
    }

    /// Records whether the Workflow API can be used, and returns whether that has changed.
    fn set_down(&self, reason: Option<String>) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.down.is_some() != reason.is_some();
        known.down = reason;
        is_news
    }

    /// Wakes the worker after a failed call that suggests a problem of the service.
    fn noticed<T>(&self, outcome: &Result<T, JobsError>) {
        if let Err(JobsError::Down(reason)) = outcome {
            self.set_down(Some(reason.clone()));
        }
        if outcome.as_ref().is_err_and(JobsError::is_of_the_service) {
            self.watch.poke();
        }
    }

    /// Returns the UUID of the workflow of a task. The workflow is stored first if necessary.
    async fn workflow(&self, task: Task) -> Result<Uuid, JobsError> {
        let cached = self.known.read().unwrap_or_else(PoisonError::into_inner).workflows.get(&task).copied();
        match cached {
            Some(uuid) => Ok(uuid),
            None => self.load(task, false).await,
        }
    }

    fn forget(&self, task: Task) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).workflows.remove(&task);
    }

    /// Stores the workflow of a task in the Workflow API if necessary, and remembers its UUID there.
    async fn load(&self, task: Task, replace: bool) -> Result<Uuid, JobsError> {
        let workflow = Workflow::of(task);
        let stored = match self.api.find_workflow(&workflow.name).await? {
            Some(stored) => stored,
            None => match self.api.add_workflow(workflow).await {
                Ok(stored) => stored,
                // Another IMGAPI was faster, or the answer to an earlier attempt was lost.
                Err(error) => self.api.find_workflow(&workflow.name).await?.ok_or(error)?,
            },
        };
        if replace || self.force_md5_check && !workflow.has_same_content(&stored.content) {
            self.api.replace_workflow(stored.uuid, workflow).await?;
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).workflows.insert(task, stored.uuid);
        Ok(stored.uuid)
    }

    /// Sends the job until its outcome is known, or the attempts are used up.
    async fn start(&self, job: &NewJob, request_id: &str) -> Result<(), JobsError> {
        let mut is_stale = false;
        let mut unknown = None;
        for _ in 0..ATTEMPTS {
            let workflow = match self.workflow(job.task).await {
                Ok(workflow) => workflow,
                Err(error) => return Err(unknown.unwrap_or(error)),
            };
            match self.api.add_job(workflow, job, request_id).await {
                Created::Yes => return Ok(()),
                Created::NoSuchWorkflow(_) if !is_stale => {
                    self.forget(job.task);
                    is_stale = true;
                }
                // If this attempt was rejected for any reason other than that the job exists, no earlier attempt has arrived.
                Created::No(error) | Created::NoSuchWorkflow(error) => {
                    return Err(unknown.unwrap_or(error));
                }
                Created::Perhaps(error) => match self.api.job(job.uuid, request_id).await {
                    Ok(Some(_)) => return Ok(()),
                    Ok(None) if matches!(error, JobsError::Refused { .. }) => {
                        return Err(unknown.unwrap_or(error));
                    }
                    Ok(None) => unknown = Some(JobsError::OutcomeUnknown(error.to_string())),
                    Err(_) => return Err(JobsError::OutcomeUnknown(error.to_string())),
                },
            }
        }
        Err(unknown.unwrap_or_else(|| JobsError::Down("it does not keep its workflows".into())))
    }
}

#[cfg(test)]
pub(crate) mod tests;
