// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs one task: QuickJS on a thread of its own, with the variables and modules that a task can use.
//!
//! Attempts, fallback and modules are implemented in JavaScript (`*.js` beside this file). This file contains the event loop,
//! which delivers timers and answers to it.

mod host;
mod http;

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use rquickjs::{Context, Ctx, Function, Runtime};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::script::exception;
use super::store::{Object, Store};
use host::Host;

/// Maximum memory of one task, in bytes.
const MEMORY: usize = 64 << 20;
/// Stack of the thread in bytes, and the part of it that JavaScript may use.
const STACK: usize = 4 << 20;
const SCRIPT_STACK: usize = 1 << 20;
/// Time for which a task may compute without waiting for anything.
const TURN: Duration = Duration::from_secs(10);
/// Time for which a task that has ended may continue in the background.
const LINGER: Duration = Duration::from_secs(10);
/// Maximum number of events that wait for the task.
const EVENTS: usize = 1_024;

const PRELUDE: &str = concat!(
    "(function (host, input) { 'use strict';\n",
    include_str!("globals.js"),
    include_str!("clients.js"),
    include_str!("modules.js"),
    include_str!("task.js"),
    "})"
);

/// The input of a task.
#[derive(Debug)]
pub(super) struct Run {
    /// The task, an element of a chain.
    pub(super) task: Value,
    /// The job as the task sees it.
    pub(super) job: Object,
    /// Variables of the sandbox.
    pub(super) variables: Arc<Vec<(String, String)>>,
    /// HTTP client for the modules.
    pub(super) client: reqwest::Client,
    /// The store for progress records.
    pub(super) store: Store,
}

/// The result of a task.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    /// The result that the task returned.
    pub(super) result: Value,
    /// The error: an empty text, a text or an object.
    pub(super) error: Value,
    /// The job as the task left it.
    pub(super) job: Object,
}

/// A running task. Dropping it tells the task to end.
#[derive(Debug)]
pub(super) struct RunningTask {
    outcome: oneshot::Receiver<Outcome>,
    events: SyncSender<Event>,
    job: Object,
}

/// An event for a task.
#[derive(Debug)]
enum Event {
    /// A request was answered, or failed.
    Answer { id: u32, answer: String },
    /// The caller no longer waits for the task.
    Die,
}

impl RunningTask {
    /// Begins to run a task.
    pub(super) fn begin(run: Run) -> Self {
        let (events, inbox) = mpsc::sync_channel(EVENTS);
        let (sender, outcome) = oneshot::channel();
        let job = run.job.clone();
        let (runtime, outbox) = (tokio::runtime::Handle::current(), events.clone());
        let thread = std::thread::Builder::new().name("workflow-task".to_owned()).stack_size(STACK);
        let spawned = thread.spawn(move || {
            if let Err(error) = work(run, runtime, outbox, &inbox, sender) {
                tracing::warn!(%error, "a task of a workflow cannot run");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a task of a workflow");
        }
        Self { outcome, events, job }
    }

    /// Waits until the task ends.
    pub(super) async fn outcome(mut self) -> Outcome {
        match (&mut self.outcome).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome {
                result: json!(""),
                error: json!("the engine cannot run this task"),
                job: self.job.clone(),
            },
        }
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let _ = self.events.try_send(Event::Die);
    }
}

fn work(
    run: Run,
    handle: tokio::runtime::Handle,
    outbox: SyncSender<Event>,
    inbox: &mpsc::Receiver<Event>,
    sender: oneshot::Sender<Outcome>,
) -> Result<(), rquickjs::Error> {
    let runtime = Runtime::new()?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_max_stack_size(SCRIPT_STACK);
    let input = json!({"task": run.task, "job": run.job, "variables": *run.variables}).to_string();
    let uuid = super::store::text(&run.job, "uuid").to_owned();
    let host = Host::new(handle, outbox, run.client, run.store, uuid);
    let turn = host.clone();
    runtime.set_interrupt_handler(Some(Box::new(move || turn.turn_is_over())));
    let context = Context::full(&runtime)?;
    context.with(|ctx| {
        host.begin_turn(TURN);
        let told = |error| {
            tracing::warn!(thrown = exception(&ctx), "the prelude of a task does not run");
            error
        };
        let prelude: Function = ctx.eval(PRELUDE).map_err(told)?;
        let deliver: Function = prelude.call((host.object(&ctx)?, input)).map_err(told)?;
        Loop { ctx, host, deliver, sender: Some(sender), end: None }.run(inbox);
        Ok(())
    })
}

/// The event loop of a task.
struct Loop<'js> {
    ctx: Ctx<'js>,
    host: Host,
    deliver: Function<'js>,
    sender: Option<oneshot::Sender<Outcome>>,
    // When the thread ends, after the task has ended.
    end: Option<Instant>,
}

impl Loop<'_> {
    fn run(mut self, inbox: &mpsc::Receiver<Event>) {
        self.deliver("begin", 0, String::new());
        loop {
            let now = Instant::now();
            if self.end.is_some_and(|end| now >= end || self.host.is_idle()) {
                return;
            }
            let until = [self.host.next_timer(), self.end].into_iter().flatten().min();
            let event = match until {
                Some(until) => inbox.recv_timeout(until.saturating_duration_since(now)),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Answer { id, answer }) => {
                    self.host.answered();
                    self.deliver("answer", id, answer);
                }
                Ok(Event::Die) => {
                    self.end.get_or_insert(Instant::now() + LINGER);
                    self.deliver("die", 0, String::new());
                }
                Err(RecvTimeoutError::Timeout) => {
                    for id in self.host.due_timers() {
                        self.deliver("timer", id, String::new());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Lets the script continue with an event, and takes its outcome if it has ended.
    fn deliver(&mut self, kind: &str, id: u32, text: String) {
        self.host.begin_turn(TURN);
        if self.deliver.call::<_, ()>((kind, id, text)).is_err() {
            // An uncaught exception ends the task. Only its stack is known.
            let thrown = exception(&self.ctx);
            self.host.begin_turn(TURN);
            if self.deliver.call::<_, ()>(("thrown", 0, thrown.clone())).is_err() {
                tracing::warn!(thrown, "a task of a workflow cannot be ended");
                self.sender = None;
                self.end = Some(Instant::now());
            }
        }
        self.host.begin_turn(TURN);
        while self.ctx.execute_pending_job() {}
        let Some(done) = self.host.take_done() else { return };
        self.end.get_or_insert(Instant::now() + LINGER);
        match (self.sender.take(), serde_json::from_str(&done)) {
            // An error means that the caller no longer waits.
            (Some(sender), Ok(outcome)) => drop(sender.send(outcome)),
            (_, Err(error)) => tracing::warn!(%error, "a task of a workflow ends in no way"),
            (None, Ok(_)) => {}
        }
    }
}
