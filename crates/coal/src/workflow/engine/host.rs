// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The host functions through which JavaScript reaches the outside.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rquickjs::{Ctx, Function, Object as JsObject, Result};
use serde_json::Value;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::Event;
use super::http::request;
use crate::workflow::store::Store;

/// Maximum number of pending timers and of pending requests of one task.
const MAX_WAITING: usize = 1_000;

/// The host of one task. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Host(Rc<Outside>);

#[derive(Debug)]
struct Outside {
    runtime: Handle,
    outbox: SyncSender<Event>,
    client: reqwest::Client,
    store: Store,
    job: String,
    timers: RefCell<BTreeSet<(Instant, u32)>>,
    requests: Cell<usize>,
    turn: Cell<Instant>,
    done: RefCell<Option<String>>,
}

impl Host {
    /// Creates a host without pending timers and requests.
    pub(super) fn new(
        runtime: Handle,
        outbox: SyncSender<Event>,
        client: reqwest::Client,
        store: Store,
        job: String,
    ) -> Self {
        Self(Rc::new(Outside {
            runtime,
            outbox,
            client,
            store,
            job,
            timers: RefCell::default(),
            requests: Cell::new(0),
            turn: Cell::new(Instant::now()),
            done: RefCell::default(),
        }))
    }

    /// Returns the functions that the prelude receives.
    pub(super) fn object<'js>(&self, ctx: &Ctx<'js>) -> Result<JsObject<'js>> {
        let object = JsObject::new(ctx.clone())?;
        let host = || Rc::clone(&self.0);
        let outside = host();
        let timer = move |id: u32, millis: f64| outside.timer(id, millis);
        object.set("timer", Function::new(ctx.clone(), timer)?)?;
        let outside = host();
        let untimer = move |id: u32| outside.timers.borrow_mut().retain(|(_, other)| *other != id);
        object.set("untimer", Function::new(ctx.clone(), untimer)?)?;
        let outside = host();
        let send = move |id: u32, text: String| outside.send(id, text);
        object.set("request", Function::new(ctx.clone(), send)?)?;
        let outside = host();
        let log = move |level: String, text: String| tracing::debug!(job = outside.job, level, text, "task");
        object.set("log", Function::new(ctx.clone(), log)?)?;
        let outside = host();
        object.set("info", Function::new(ctx.clone(), move |text: String| outside.info(&text))?)?;
        let outside = host();
        let done = move |text: String| drop(outside.done.replace(Some(text)));
        object.set("done", Function::new(ctx.clone(), done)?)?;
        object.set("uuid", Function::new(ctx.clone(), || Uuid::new_v4().to_string())?)?;
        Ok(object)
    }

    /// Starts a turn: the script may compute for this long.
    pub(super) fn begin_turn(&self, length: Duration) {
        self.0.turn.set(Instant::now() + length);
    }

    /// Returns whether the script has computed for too long.
    pub(super) fn turn_is_over(&self) -> bool {
        Instant::now() > self.0.turn.get()
    }

    /// Returns whether nothing is pending any more.
    pub(super) fn is_idle(&self) -> bool {
        self.0.requests.get() == 0 && self.0.timers.borrow().is_empty()
    }

    /// Returns when the next timer ends.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.0.timers.borrow().first().map(|(at, _)| *at)
    }

    /// Takes the timers that have ended.
    pub(super) fn due_timers(&self) -> Vec<u32> {
        let mut timers = self.0.timers.borrow_mut();
        let later = timers.split_off(&(Instant::now(), u32::MAX));
        std::mem::replace(&mut *timers, later).into_iter().map(|(_, id)| id).collect()
    }

    /// Notes that a request has ended.
    pub(super) fn answered(&self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
    }

    /// Takes the result that the script has ended with.
    pub(super) fn take_done(&self) -> Option<String> {
        self.0.done.take()
    }
}

impl Outside {
    /// Sets a timer. Returns `false` if there are too many.
    fn timer(&self, id: u32, millis: f64) -> bool {
        // A length that is NaN or negative ends at once; one that is too long never ends.
        let length = Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or_default();
        let at = Instant::now().checked_add(length).unwrap_or_else(Instant::now);
        let mut timers = self.timers.borrow_mut();
        timers.len() < MAX_WAITING && timers.insert((at, id))
    }

    /// Sends a request. Returns `false` if there are too many.
    fn send(&self, id: u32, text: String) -> bool {
        if self.requests.get() >= MAX_WAITING {
            return false;
        }
        self.requests.set(self.requests.get() + 1);
        let (client, outbox) = (self.client.clone(), self.outbox.clone());
        self.runtime.spawn(async move {
            let answer = request(&client, &text).await.to_string();
            // This blocks if the inbox is full, so it runs on a blocking thread. An error means that the task is gone.
            let sent = move || outbox.send(Event::Answer { id, answer });
            drop(tokio::task::spawn_blocking(sent).await);
        });
        true
    }

    fn info(&self, text: &str) {
        let record: Value = serde_json::from_str(text).unwrap_or_default();
        // Runs in this thread, so that records keep their order.
        if let Err(error) = self.runtime.block_on(self.store.add_info(&self.job, record)) {
            tracing::warn!(%error, "a record of progress is lost");
        }
    }
}
