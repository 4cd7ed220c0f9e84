// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A Workflow API that stores everything in memory, and fails on demand.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What happens to a call instead of the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is carried out, and the answer is lost.
    LoseAnswer,
    /// The call is not carried out, and there is no answer.
    LoseCall,
    /// The answer has this status and code.
    Refuse(u16, &'static str),
    /// The call is not carried out, and the answer is 500, because the service's database is unavailable.
    NoDatabase,
    /// The answer has these bytes instead of JSON.
    Garbage(&'static str),
}

/// The fake service.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) workflows: Vec<Map<String, Value>>,
    pub(crate) jobs: Vec<Map<String, Value>>,
    /// The request lines and heads of all calls.
    pub(crate) heads: Vec<String>,
    /// Faults by the beginning of the request line, each for one call.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    pub(crate) backend: Option<&'static str>,
    /// The answers of other services, by path.
    pub(crate) others: HashMap<String, (u16, Value)>,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        Fake::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Fake {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Fake { address, state, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn fails(&self, call: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((call, fault));
    }

    /// Returns the request lines so far, without `HTTP/1.1`, and forgets them.
    pub(crate) fn calls(&self) -> Vec<String> {
        let heads = std::mem::take(&mut self.state.lock().unwrap().heads);
        heads.iter().map(|head| head.split(" HTTP/").next().unwrap().to_owned()).collect()
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let answer = answer(&head, &body, &mut state.lock().unwrap());
    if let Some((status, text)) = answer {
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
        let _ = stream.write_all((head + &text).as_bytes()).await;
    }
}

/// Returns status and body, or `None` for no answer.
fn answer(head: &str, body: &[u8], state: &mut State) -> Option<(u16, String)> {
    state.heads.push(head.to_owned());
    let fault = state.faults.iter().position(|(call, _)| head.starts_with(call));
    let fault = fault.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault);
    match fault {
        Some(Fault::LoseCall) => return None,
        Some(Fault::Refuse(status, code)) => {
            return Some((status, json!({"code": code, "message": "no"}).to_string()));
        }
        Some(Fault::NoDatabase) => {
            let body = json!({"code": "InternalError", "message": "no active connections"});
            return Some((500, body.to_string()));
        }
        Some(Fault::Garbage(text)) => return Some((200, text.to_owned())),
        Some(Fault::LoseAnswer) | None => {}
    }
    let (status, value) = act(head, body, state);
    (fault != Some(Fault::LoseAnswer)).then(|| (status, value.to_string()))
}

fn act(head: &str, body: &[u8], state: &mut State) -> (u16, Value) {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = || serde_json::from_slice::<Map<String, Value>>(body).unwrap();
    let error = |status, code: &str| (status, json!({"code": code, "message": "unexisting workflow"}));
    let uuid = path.rsplit('/').next().unwrap();
    let is_it = |object: &Map<String, Value>| object["uuid"] == uuid;
    match (method, path) {
        ("GET", "/ping") => (200, json!({"pid": 1, "backend": state.backend.unwrap_or("up")})),
        ("GET", "/workflows") => {
            let named = state
                .workflows
                .iter()
                .filter(|workflow| query == format!("name={}", workflow["name"].as_str().unwrap()));
            (200, json!(named.collect::<Vec<_>>()))
        }
        ("POST", "/workflows") => {
            let mut workflow = body();
            if state.workflows.iter().any(|other| other["name"] == workflow["name"]) {
                return error(409, "InvalidArgument");
            }
            workflow.insert("uuid".into(), json!(uuid::Uuid::new_v4().to_string()));
            for task in workflow["chain"].as_array_mut().unwrap() {
                task["modules"] = json!(task["modules"].to_string());
                task["uuid"] = json!(uuid::Uuid::new_v4().to_string());
            }
            state.workflows.push(workflow.clone());
            (201, json!(workflow))
        }
        ("PUT", _) => {
            let workflow = state.workflows.iter_mut().find(|workflow| is_it(workflow)).unwrap();
            workflow.extend(body());
            (200, json!(workflow))
        }
        ("POST", "/jobs") => {
            let job = body();
            if !state.workflows.iter().any(|workflow| workflow["uuid"] == job["workflow"]) {
                return error(409, "ConflictError");
            }
            if state.jobs.iter().any(|other| other["uuid"] == job["uuid"]) {
                return (409, json!({"code": "InvalidArgument", "message": "a job of that UUID"}));
            }
            state.jobs.push(job.clone());
            (201, json!(job))
        }
        ("GET", "/jobs") => (200, json!(state.jobs)),
        ("GET", path) if path.starts_with("/jobs/") => match state.jobs.iter().find(|job| is_it(job)) {
            Some(job) => (200, json!(job)),
            None => error(404, "ResourceNotFound"),
        },
        _ => state.others.get(path).cloned().unwrap_or_else(|| error(404, "ResourceNotFound")),
    }
}
