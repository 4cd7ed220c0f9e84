// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Jobs: work that goes on for minutes in the datacenter's Workflow API. The client of it, the workflows that it runs for
//! IMGAPI, and the clients of VMAPI and CNAPI, which know the machines that such work is about.

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

pub use availability::Watch;
pub use error::JobsError;
pub use job_progress::Fate;
pub use machines::{Machines, Server, Vm};
pub use workflows::Task;

use service::Service;
use wfapi::{Created, Wfapi};
use workflows::Workflow;

/// How often a job is sent to the Workflow API before it is given up, when it is not known whether it has arrived.
const ATTEMPTS: usize = 3;

/// Most bytes of a list of jobs: a thousand, each with the script that prepares its image.
const MAX_LIST: usize = 64 << 20;

/// The jobs of a server. One without a Workflow API has none.
#[derive(Debug, Clone)]
pub struct Jobs(Option<Arc<JobsInner>>);

#[derive(Debug)]
struct JobsInner {
    api: Wfapi,
    /// As clients are told it.
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
    /// Why no jobs can be started; `None` while they can.
    down: Option<String>,
    /// The UUIDs that the workflows have there.
    workflows: HashMap<Task, Uuid>,
}

/// A job to be started.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Under which UUID. Chosen here, so that it can be asked for whatever becomes of the answer.
    pub uuid: Uuid,
    /// What it is to do.
    pub task: Task,
    /// What it is about, for people and for the Workflow API's own check against doubles.
    pub target: String,
    /// What its tasks are told; `task` and `target` are added.
    pub params: Map<String, Value>,
}

impl Jobs {
    /// Those of the `wfapi` of the configuration, which need not be there. [`Jobs::watch`] has to run.
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

    /// The work of finding out whether jobs can be started, and what ends its waits; `None` where there are none.
    pub fn watch(&self) -> Option<(Watch, Poke)> {
        self.0.as_ref().map(|shared| (Watch::new(Arc::clone(shared)), shared.watch.clone()))
    }

    /// Finds out whether jobs can be started, beside [`Jobs::watch`].
    pub async fn look(&self) {
        if let Some((mut watch, _)) = self.watch() {
            // The watch says what is wrong.
            let _ = watch.look_and_note().await;
        }
    }

    /// Whether both share one Workflow API client, or both have none.
    pub fn ptr_eq(&self, others: &Jobs) -> bool {
        match (&self.0, &others.0) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        }
    }

    /// Where the jobs are, for clients who follow them.
    pub fn url(&self) -> Option<&str> {
        self.0.as_ref().map(|shared| shared.url.as_str())
    }

    /// Whether the Workflow API has answered the last time.
    ///
    /// # Errors
    /// `Absent`, `Down`.
    pub fn check(&self) -> Result<(), JobsError> {
        self.connected().map(drop)
    }

    /// Asks the Workflow API whether it can be used now, and returns what it says that it is.
    ///
    /// # Errors
    /// `Absent`, and why it cannot.
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
                // It may be back by now, and the next one who asks need not wait for the next look.
                shared.watch.poke();
                Err(JobsError::Down(reason))
            }
        }
    }

    /// Starts a job on behalf of this request.
    ///
    /// # Errors
    /// `OutcomeUnknown` when it may have been started or not; any other says that it was not.
    pub async fn start(&self, job: &NewJob, request_id: &str) -> Result<(), JobsError> {
        let shared = self.connected()?;
        let started = shared.start(job, request_id).await;
        shared.noticed(&started);
        started
    }

    /// A job as the Workflow API tells it; `None` when it has no such job.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn find(&self, job: Uuid, request_id: &str) -> Result<Option<Value>, JobsError> {
        let shared = self.connected()?;
        let found = shared.api.job(job, request_id).await;
        shared.noticed(&found);
        found
    }

    /// The jobs about an image, newest first for each task: of one `task`, or of all that this server has; in any
    /// `execution`, or in one. As the Workflow API tells them.
    ///
    /// # Errors
    /// When one of the lists is not to be had.
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

    /// Notes whether the Workflow API can be used, and says whether that is news.
    fn set_down(&self, reason: Option<String>) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.down.is_some() != reason.is_some();
        known.down = reason;
        is_news
    }

    /// A call that failed is a reason to look what is the matter.
    fn noticed<T>(&self, outcome: &Result<T, JobsError>) {
        if let Err(JobsError::Down(reason)) = outcome {
            self.set_down(Some(reason.clone()));
        }
        if outcome.as_ref().is_err_and(JobsError::is_of_the_service) {
            self.watch.poke();
        }
    }

    /// The UUID of the workflow of a task, which is stored there if it is not yet.
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

    /// Makes the Workflow API have the workflow of a task, and remembers its UUID there.
    async fn load(&self, task: Task, replace: bool) -> Result<Uuid, JobsError> {
        let workflow = Workflow::of(task);
        let stored = match self.api.find_workflow(&workflow.name).await? {
            Some(stored) => stored,
            None => match self.api.add_workflow(workflow).await {
                Ok(stored) => stored,
                // Another IMGAPI was faster, or the answer to an earlier try was lost.
                Err(error) => self.api.find_workflow(&workflow.name).await?.ok_or(error)?,
            },
        };
        if replace || self.force_md5_check && !workflow.has_same_content(&stored.content) {
            self.api.replace_workflow(stored.uuid, workflow).await?;
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).workflows.insert(task, stored.uuid);
        Ok(stored.uuid)
    }

    /// Sends the job until it is known what has come of it.
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
                // What was sent before has not arrived if this was refused for any reason but its being there.
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
