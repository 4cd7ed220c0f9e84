// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs one job from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::timestamp::{iso, now};
use crate::workflow::engine::{Outcome, Run, RunningTask};
use crate::workflow::job::{FROZEN, stored};
use crate::workflow::store::{Object, Store, StoreError, text};

/// Maximum timeout of a workflow, in seconds.
const MAX_TIMEOUT: f64 = 31_536_000.0;
/// Maximum delay before the next attempt, in milliseconds.
const MAX_DELAY: u64 = 3_600_000;

/// A running job.
pub(super) struct Drive {
    pub(super) job: Object,
    pub(super) store: Store,
    pub(super) variables: Arc<Vec<(String, String)>>,
    pub(super) client: reqwest::Client,
}

/// How a job ends, temporarily or permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed,
    Canceled,
    Queued,
    Waiting,
    Retried,
}

/// Why a chain stops before its end.
enum Stop {
    Canceled,
    Error(Value),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Retried => "retried",
        }
    }
}

/// Marks a queued job as running. Returns `false` if it is no longer queued.
pub(super) fn begun(job: &mut Object, runner: &str) -> bool {
    let is_queued = text(job, "execution") == "queued";
    if is_queued {
        job.insert("execution".to_owned(), json!("running"));
        job.insert("started".to_owned(), json!(millis_now()));
        job.insert("runner_id".to_owned(), json!(runner));
    }
    is_queued
}

fn millis_now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

impl Drive {
    /// Runs the job and stores its result.
    pub(super) async fn run(mut self) -> Result<(), StoreError> {
        let mut end = self.chains().await?;
        if end == End::Retried && self.number("num_attempts") + 1.0 >= self.number("max_attempts") {
            end = End::Failed;
        }
        if end == End::Retried {
            let next = self.next_attempt();
            self.job.insert("next_attempt".to_owned(), json!(text(&next, "uuid")));
            // The job has a new UUID, and no other job excludes it.
            let _ = self.store.add_job(next, |_| None::<()>).await?;
        }
        self.save(Some(end)).await
    }

    async fn chains(&mut self) -> Result<End, StoreError> {
        let error = match self.chain("chain", "chain_results").await {
            Ok(()) => return Ok(End::Succeeded),
            Err(Stop::Store(error)) => return Err(error),
            Err(Stop::Canceled) => return self.cancelled().await,
            Err(Stop::Error(error)) => error,
        };
        match error.as_str() {
            Some("wait") => return Ok(End::Waiting),
            Some("retry") => return Ok(End::Retried),
            _ => {}
        }
        if self.job.get("onerror").is_some_and(Value::is_array) {
            match self.chain("onerror", "onerror_results").await {
                Err(Stop::Store(error)) => return Err(error),
                Err(Stop::Canceled) => return self.cancelled().await,
                // The job has failed, regardless of the result of this chain.
                Ok(()) | Err(Stop::Error(_)) => {}
            }
        }
        Ok(if error == "queue" { End::Queued } else { End::Failed })
    }

    async fn cancelled(&mut self) -> Result<End, StoreError> {
        if self.job.get("oncancel").is_some_and(Value::is_array)
            && let Err(Stop::Store(error)) = self.chain("oncancel", "oncancel_results").await
        {
            return Err(error);
        }
        Ok(End::Canceled)
    }

    /// Runs the tasks of a chain that have no results yet, within the timeout of the workflow.
    async fn chain(&mut self, chain: &str, results: &str) -> Result<(), Stop> {
        let tasks = self.job.get(chain).and_then(Value::as_array).cloned().unwrap_or_default();
        let done = self.job.get(results).and_then(Value::as_array).map_or(0, Vec::len);
        let left = self.number("timeout") - self.number("elapsed");
        let has_timeout = self.number("timeout") > 0.0;
        let work = async {
            for task in tasks.into_iter().skip(done) {
                self.task(task, results).await?;
            }
            Ok(())
        };
        if !has_timeout {
            return work.await;
        }
        let limit = Duration::try_from_secs_f64(left.clamp(0.0, MAX_TIMEOUT)).unwrap_or_default();
        match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let entry = json!({"error": "workflow timeout", "result": "", "finished_at": now()});
                self.push(results, entry);
                self.save(None).await?;
                Err(Stop::Error(json!("workflow timeout")))
            }
        }
    }

    async fn task(&mut self, task: Value, results: &str) -> Result<(), Stop> {
        let started_at = now();
        let name = task.get("name").or_else(|| task.get("uuid")).cloned().unwrap_or_default();
        let running = RunningTask::begin(Run {
            task,
            job: self.job.clone(),
            variables: Arc::clone(&self.variables),
            client: self.client.clone(),
            store: self.store.clone(),
        });
        let Outcome { result, error, job } = running.outcome().await;
        let entry = json!({
            "result": result,
            "error": error,
            "name": name,
            "started_at": started_at,
            "finished_at": now(),
        });
        self.push(results, entry);
        self.job.extend(job.into_iter().filter(|(name, _)| !FROZEN.contains(&name.as_str())));
        self.save(None).await?;
        if results == "oncancel_results" {
            // After a cancellation a failure has no further effect.
            return Ok(());
        }
        match error.as_str() {
            Some("") => Ok(()),
            Some("cancel") => Err(Stop::Canceled),
            _ => Err(Stop::Error(error)),
        }
    }

    /// Stores the job. An end becomes its state, even if the job was cancelled meanwhile, unless the job is to continue later.
    /// Without an end, the state stays as it is.
    async fn save(&mut self, end: Option<End>) -> Result<(), StoreError> {
        if end.is_some() {
            let elapsed = (millis_now() as f64 - self.number("started")) / 1_000.0;
            self.job.insert("elapsed".to_owned(), json!(elapsed));
            self.job.remove("runner_id");
        }
        let job = stored(&self.job);
        let change = move |old: &mut Object| {
            let execution = text(old, "execution").to_owned();
            *old = job;
            let end = end.filter(|end| execution == "running" || !matches!(end, End::Queued | End::Waiting));
            let execution = end.map_or(execution, |end| end.as_str().to_owned());
            old.insert("execution".to_owned(), json!(execution));
        };
        self.store.change_job(text(&self.job, "uuid"), change).await?;
        Ok(())
    }

    /// Appends an entry to the results of a chain.
    fn push(&mut self, results: &str, entry: Value) {
        match self.job.get_mut(results).and_then(Value::as_array_mut) {
            Some(entries) => entries.push(entry),
            None => drop(self.job.insert(results.to_owned(), json!([entry]))),
        }
    }

    fn number(&self, name: &str) -> f64 {
        self.job.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// Returns the job for the next attempt.
    fn next_attempt(&self) -> Object {
        let mut next = self.job.clone();
        let attempts = self.number("num_attempts") + 1.0;
        let doubled = self.number("initial_delay") * 2_f64.powf(attempts - 1.0);
        let longest = self.job.get("max_delay").and_then(Value::as_f64).unwrap_or(f64::INFINITY);
        let delay = Duration::try_from_secs_f64(doubled.min(longest).max(0.0) / 1_000.0);
        let delay = delay.unwrap_or_default().min(Duration::from_millis(MAX_DELAY));
        let members = [
            ("uuid", json!(Uuid::new_v4().to_string())),
            ("prev_attempt", json!(text(&self.job, "uuid"))),
            ("num_attempts", json!(attempts as u64)),
            ("execution", json!("queued")),
            ("exec_after", json!(iso(OffsetDateTime::now_utc() + delay))),
            ("created_at", json!(now())),
            ("chain_results", json!([])),
        ];
        next.extend(members.map(|(name, value)| (name.to_owned(), value)));
        for name in ["onerror_results", "oncancel_results", "started", "elapsed", "runner_id"] {
            next.remove(name);
        }
        next
    }
}
