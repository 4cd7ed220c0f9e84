// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tasks: requests to servers, and their results.

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

/// Maximum number of tasks that are kept.
const MAX_TASKS: usize = 1_000;
/// Timeout for the creation of an image.
const LIMIT: Duration = Duration::from_secs(3_600);

/// The request to a server.
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

/// State of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Active,
    Complete,
    Failure,
}

/// A task in CNAPI's format.
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
    // Stops running tasks when the last clone is dropped.
    _guard: DropGuard,
}

impl Tasks {
    /// Creates an empty set of tasks.
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

    /// Returns the fault switches.
    pub(super) fn faults(&self) -> &TaskFaults {
        &self.shared.faults
    }

    /// Begins to create an image; returns the id of the task.
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
        let fault = self.shared.faults.of_task(&vm.uuid);
        let (imgadm, stop) = (self.shared.imgadm.clone(), self.shared.stop.clone());
        let work = async move {
            let outcome = make(&imgadm, &server, &vm, order, fault).await;
            sender.send_modify(|task| task.end(outcome));
        };
        tokio::spawn(stop.run_until_cancelled_owned(work));
        Ok(id)
    }

    /// Returns the current state of the task.
    pub(super) fn get(&self, id: &str) -> Option<Task> {
        let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.get(id).map(|task| task.borrow().clone())
    }

    /// Waits until the task has ended or the time is over, and returns its state.
    pub(super) async fn wait(&self, id: &str, time: Duration) -> Option<Task> {
        let mut watched = {
            let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.get(id)?.subscribe()
        };
        // In both cases the current state of the task is returned.
        let _ = tokio::time::timeout(time, watched.wait_for(|task| task.status != Status::Active)).await;
        self.get(id)
    }
}

/// Why the creation of an image failed, as entries of the history.
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

/// Returns an error with a message, as an entry of the history.
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
