// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The runner: takes queued jobs and runs several of them at once.

mod drive;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::store::{Object, Store, StoreError, text};
use crate::timestamp::millis;
use drive::Drive;

/// Maximum number of jobs that run at once.
const SLOTS: usize = 16;
/// Timeout for opening a connection of a job.
const CONNECT: Duration = Duration::from_secs(5);
/// Maximum time to sleep. A wake-up ends the sleep.
const SLEEP: Duration = Duration::from_secs(3_600);
/// Time to wait after a failure of the store.
const BACK_OFF: Duration = Duration::from_secs(1);

/// The API's handle to the runner. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Runner(Arc<RunnerInner>);

#[derive(Debug)]
struct RunnerInner {
    store: Store,
    wake: Notify,
    paused: AtomicBool,
}

/// A working runner. Dropping it ends all tasks.
#[derive(Debug)]
pub(super) struct Working {
    stop: CancellationToken,
    tasks: TaskTracker,
    _guard: DropGuard,
}

impl Runner {
    /// Creates a runner that does not work yet.
    pub(super) fn new(store: Store) -> Self {
        let (wake, paused) = (Notify::new(), AtomicBool::new(false));
        Self(Arc::new(RunnerInner { store, wake, paused }))
    }

    /// Wakes the runner, because there may be a job to start.
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Starts no more jobs until [`resume`](Self::resume).
    pub(super) fn pause(&self) {
        self.0.paused.store(true, Ordering::SeqCst);
    }

    /// Starts jobs again.
    pub(super) fn resume(&self) {
        self.0.paused.store(false, Ordering::SeqCst);
        self.wake();
    }

    /// Cancels the jobs that are marked as running but are not, and starts to work.
    pub(super) async fn start(&self, variables: Arc<Vec<(String, String)>>) -> Result<Working, StoreError> {
        crate::net::use_ring();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| StoreError::Client(error.to_string()))?;
        for execution in ["running", "canceled"] {
            let jobs = self.0.store.jobs_in(execution).await?;
            for job in jobs.iter().filter(|job| job.contains_key("runner_id")) {
                let stale = |job: &mut Object| {
                    job.insert("execution".to_owned(), json!("canceled"));
                    job.remove("runner_id");
                };
                self.0.store.change_job(text(job, "uuid"), stale).await?;
            }
        }
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let worker = Worker {
            runner: self.clone(),
            id: Uuid::new_v4().to_string(),
            variables,
            client,
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let end = stop.clone();
        tasks.spawn(async move {
            end.run_until_cancelled(worker.work()).await;
        });
        Ok(Working { _guard: stop.clone().drop_guard(), stop, tasks })
    }
}

impl Working {
    /// Ends all jobs at once.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Takes jobs from the queue and starts them.
struct Worker {
    runner: Runner,
    id: String,
    variables: Arc<Vec<(String, String)>>,
    client: reqwest::Client,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Worker {
    async fn work(self) {
        let slots = Arc::new(Semaphore::new(SLOTS));
        loop {
            let sleep = match self.begin_due(&slots).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::warn!(%error, "the runner cannot take jobs");
                    BACK_OFF
                }
            };
            // An error means that the sleep was not interrupted.
            let _ = tokio::time::timeout(sleep, self.runner.0.wake.notified()).await;
        }
    }

    /// Starts all jobs that are due. Returns the time until the next job is due.
    async fn begin_due(&self, slots: &Arc<Semaphore>) -> Result<Duration, StoreError> {
        let mut sleep = SLEEP;
        for job in self.runner.0.store.jobs_in("queued").await? {
            let due = millis(text(&job, "exec_after")).unwrap_or_default();
            let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
            if let Ok(left @ 1..) = u64::try_from(i128::from(due) - now) {
                sleep = sleep.min(Duration::from_millis(left));
                continue;
            }
            // This cannot fail, because the semaphore is never closed.
            let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return Ok(SLEEP) };
            if self.runner.0.paused.load(Ordering::SeqCst) {
                break;
            }
            self.begin(text(&job, "uuid"), slot).await?;
        }
        Ok(sleep)
    }

    async fn begin(&self, uuid: &str, slot: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let id = self.id.clone();
        let store = &self.runner.0.store;
        let begun = store.change_job(uuid, move |job| drive::begun(job, &id).then(|| job.clone())).await;
        let Ok(Some(Some(job))) = begun else { return begun.map(drop) };
        let (variables, client) = (Arc::clone(&self.variables), self.client.clone());
        let drive = Drive { job, store: store.clone(), variables, client };
        let (runner, uuid, stop) = (self.runner.clone(), uuid.to_owned(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(drive.run()).await {
                tracing::warn!(%error, job = uuid, "a job cannot be stored");
            }
            drop(slot);
            // The job may have queued itself, or a next attempt.
            runner.wake();
        });
        Ok(())
    }
}
