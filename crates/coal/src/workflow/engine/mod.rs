// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs one task: QuickJS on a thread of its own, with the variables and modules that a task sees.
//!
//! The attempts, the fallback and the modules are JavaScript themselves (`*.js` beside this file); this is the loop that
//! feeds them with the ends of timers and requests.

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

/// Memory of one task, in bytes.
const MEMORY: usize = 64 << 20;
/// Stack of the thread, in bytes, and how much of it JavaScript may use.
const STACK: usize = 4 << 20;
const SCRIPT_STACK: usize = 1 << 20;
/// How long a task may compute without waiting for anything.
const TURN: Duration = Duration::from_secs(10);
/// How long a task that is over may go on in the background.
const LINGER: Duration = Duration::from_secs(10);
/// Events that may wait for the task.
const EVENTS: usize = 1_024;

const PRELUDE: &str = concat!(
    "(function (host, input) { 'use strict';\n",
    include_str!("globals.js"),
    include_str!("clients.js"),
    include_str!("modules.js"),
    include_str!("task.js"),
    "})"
);

/// What is run.
#[derive(Debug)]
pub(super) struct Run {
    /// The task of a chain.
    pub(super) task: Value,
    /// The job as the task sees it.
    pub(super) job: Object,
    /// The variables of the sandbox.
    pub(super) variables: Arc<Vec<(String, String)>>,
    /// The client of the modules.
    pub(super) client: reqwest::Client,
    /// Where records of progress go.
    pub(super) store: Store,
}

/// How it went.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    /// What the task says about its success.
    pub(super) result: Value,
    /// An empty text, a text or an object.
    pub(super) error: Value,
    /// The job as the task has left it.
    pub(super) job: Object,
}

/// A task that runs. When it is dropped the task is told to end.
#[derive(Debug)]
pub(super) struct RunningTask {
    outcome: oneshot::Receiver<Outcome>,
    events: SyncSender<Event>,
    job: Object,
}

/// What happens to a task.
#[derive(Debug)]
enum Event {
    /// A request has been answered, or has failed.
    Answer { id: u32, answer: String },
    /// Nobody waits for the task any more.
    Die,
}

impl RunningTask {
    /// Begins.
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

    /// Waits for the end of the task.
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
    // When the task is dropped, once it is over.
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

    /// Lets the script go on, and takes its end when it has come to it.
    fn deliver(&mut self, kind: &str, id: u32, text: String) {
        self.host.begin_turn(TURN);
        if self.deliver.call::<_, ()>((kind, id, text)).is_err() {
            // An exception that the task has not caught ends it; its stack is all that is known.
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
            // An error says that nobody waits for it any more.
            (Some(sender), Ok(outcome)) => drop(sender.send(outcome)),
            (_, Err(error)) => tracing::warn!(%error, "a task of a workflow ends in no way"),
            (None, Ok(_)) => {}
        }
    }
}
