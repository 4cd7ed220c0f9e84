// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tasks: what servers were told to do, and how it went.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::faults::{TaskFault, TaskFaults};
use super::imgadm::{Imgadm, ImgadmError};
use super::server::Server;
use crate::rest::{RestError, RestResult};
use crate::timestamp::now;
use crate::vmapi::{Fleet, Vm};

/// How many tasks are kept.
const MAX_TASKS: usize = 1_000;
/// How long the making of an image may take.
const LIMIT: Duration = Duration::from_secs(3_600);

/// What a server is told.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    pub(super) compression: String,
    pub(super) imgapi_url: String,
    pub(super) manifest: Map<String, Value>,
    #[serde(default)]
    pub(super) incremental: bool,
    #[serde(default)]
    pub(super) prepare_image_script: Option<String>,
    #[serde(default)]
    pub(super) max_origin_depth: Option<usize>,
}

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Active,
    Complete,
    Failure,
}

/// A task as CNAPI describes it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Task {
    id: String,
    req_id: String,
    task: &'static str,
    server_uuid: String,
    status: Status,
    timestamp: String,
    history: Vec<Value>,
}

/// All tasks. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    shared: Arc<TasksInner>,
}

#[derive(Debug)]
struct TasksInner {
    imgadm: Imgadm,
    faults: TaskFaults,
    tasks: Mutex<BTreeMap<String, watch::Sender<Task>>>,
    stop: CancellationToken,
    // Ends what is being done when the last clone goes.
    _guard: DropGuard,
}

impl Tasks {
    /// None yet.
    pub(super) fn new(fleet: Fleet) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let shared = TasksInner {
            imgadm: Imgadm::new(fleet)?,
            faults: TaskFaults::default(),
            tasks: Mutex::default(),
            _guard: stop.clone().drop_guard(),
            stop,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The switches for faults.
    pub(super) fn faults(&self) -> &TaskFaults {
        &self.shared.faults
    }

    /// Begins to make an image; returns the id of the task.
    pub(super) fn begin(&self, server: Server, vm: Vm, order: Order, request_id: &str) -> RestResult<String> {
        let id = Uuid::new_v4().to_string();
        let task = Task {
            id: id.clone(),
            req_id: request_id.to_owned(),
            task: "machine_create_image",
            server_uuid: server.uuid.clone(),
            status: Status::Active,
            timestamp: now(),
            history: Vec::new(),
        };
        let sender = watch::Sender::new(task);
        {
            let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            if tasks.len() >= MAX_TASKS {
                tasks.retain(|_, task| task.borrow().status == Status::Active);
            }
            if tasks.len() >= MAX_TASKS {
                return Err(RestError::internal("there are too many tasks"));
            }
            tasks.insert(id.clone(), sender.clone());
        }
        let fault = self.shared.faults.take(&vm.uuid);
        let (imgadm, stop) = (self.shared.imgadm.clone(), self.shared.stop.clone());
        let work = async move {
            let outcome = make(&imgadm, &server, &vm, order, fault).await;
            sender.send_modify(|task| task.end(outcome));
        };
        tokio::spawn(stop.run_until_cancelled_owned(work));
        Ok(id)
    }

    /// The task as it is.
    pub(super) fn get(&self, id: &str) -> Option<Task> {
        let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.get(id).map(|task| task.borrow().clone())
    }

    /// The task when it is over, or as it is when the time is.
    pub(super) async fn wait(&self, id: &str, time: Duration) -> Option<Task> {
        let mut watched = {
            let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.get(id)?.subscribe()
        };
        // Both ways the task is told as it is.
        let _ = tokio::time::timeout(time, watched.wait_for(|task| task.status != Status::Active)).await;
        self.get(id)
    }
}

/// Why the making of an image failed, as entries of the history.
type Failure = Vec<Value>;

async fn make(
    imgadm: &Imgadm,
    server: &Server,
    vm: &Vm,
    order: Order,
    fault: Option<TaskFault>,
) -> Result<(), Failure> {
    let die_half_way = match fault {
        Some(TaskFault::NeverEnd) => std::future::pending().await,
        Some(TaskFault::Text { message, details }) => {
            let details = details.map(|details| json!({"error": details}));
            return Err(vec![entry("error", json!({"error": message, "details": details}))]);
        }
        Some(TaskFault::Object { message }) => return Err(vec![error(&message)]),
        Some(TaskFault::Json { code, message }) => {
            return Err(vec![error(&json!({"code": code, "message": message}).to_string())]);
        }
        Some(TaskFault::Log { messages }) => {
            let line = |message| json!({"level": "error", "message": message, "timestamp": now()});
            let log: Vec<Value> = messages.iter().map(line).collect();
            return Err(vec![entry("finish", json!({"log": log}))]);
        }
        Some(TaskFault::Silent) => return Err(Vec::new()),
        Some(TaskFault::DieHalfWay) => true,
        None => false,
    };
    let made = tokio::time::timeout(LIMIT, imgadm.create(server, vm, order, die_half_way)).await;
    let timed_out = || ImgadmError::new("Timeout", "the image took too long");
    made.map_err(|_| timed_out()).and_then(|made| made).map_err(|failed| vec![error(&failed.to_json())])
}

/// An error with a message, as an entry of the history.
fn error(message: &str) -> Value {
    entry("error", json!({"error": {"message": message}}))
}

fn entry(name: &str, event: Value) -> Value {
    json!({"name": name, "timestamp": now(), "event": event})
}

impl Task {
    fn end(&mut self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                self.status = Status::Complete;
                self.history.push(entry("finish", json!({"log": []})));
            }
            Err(failure) => {
                self.status = Status::Failure;
                let has_end = failure.iter().any(|entry| entry["name"] == "finish");
                self.history.extend(failure);
                if !has_end {
                    self.history.push(entry("finish", json!({"log": []})));
                }
            }
        }
    }
}
