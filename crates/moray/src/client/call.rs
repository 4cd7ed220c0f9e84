// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One call: a connection, a deadline, and another attempt where that is safe.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Client;
use super::connection::{Reply, unwatched, was_written};
use crate::config::FOREVER;
use crate::error::Error;

/// Attempts at one call.
const ATTEMPTS: usize = 3;

/// What a request does to the store, which decides whether it may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Read,
    /// The same when it is done twice.
    Idempotent,
    /// Something that must not be done twice.
    Once,
}

/// A request that can be sent any number of times.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) payload: Bytes,
    pub(crate) effect: Effect,
    pub(crate) shape: Shape,
    pub(crate) limit: Duration,
}

/// What the answer to a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One object, with which the answer is complete. The server sends the end of the answer in a packet of its own, which
    /// may be 40 ms late: it waits for the acknowledgement of the first one, and that for something to go along with.
    Object,
    /// Any number of rows, or nothing: the end says that it is all.
    Rows,
}

/// A complete answer.
pub(crate) struct Answer {
    pub(crate) result: Result<Vec<Box<RawValue>>, Error>,
    /// The request was sent before and that answer was lost: what it wanted may have been done by then.
    pub(crate) repeated: bool,
}

impl Client {
    /// Calls and collects the rows, up to the configured size.
    pub(crate) async fn call(&self, request: &Request) -> Result<Vec<Box<RawValue>>, Error> {
        self.call_and_tell(request).await.result
    }

    /// As [`Client::call`], for callers that must know whether the request was repeated.
    pub(crate) async fn call_and_tell(&self, request: &Request) -> Answer {
        let mut repeated = false;
        let result = match self.begin(request) {
            Ok(_token) => self.attempts(request, &mut repeated).await,
            Err(error) => Err(error),
        };
        Answer { result, repeated }
    }

    async fn attempts(&self, request: &Request, repeated: &mut bool) -> Result<Vec<Box<RawValue>>, Error> {
        let deadline = Instant::now() + request.limit.min(FOREVER);
        let written = unwatched();
        let mut attempt = 1;
        loop {
            let error = match self.attempt(request, deadline, &written).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let safe = request.effect != Effect::Once || !was_written(&written);
            if !(error.is_connection_loss() && safe && attempt < ATTEMPTS) {
                return Err(self.judge(request, error, was_written(&written), *repeated));
            }
            *repeated = was_written(&written);
            attempt += 1;
        }
    }

    /// A write that may have been done must not look like one that failed.
    fn judge(&self, request: &Request, error: Error, written: bool, repeated: bool) -> Error {
        let answered = error.says_nothing_was_done() && !repeated;
        if request.effect == Effect::Read || !written || answered || !error.is_transient() {
            return error;
        }
        Error::OutcomeUnknown { method: request.method, source: Box::new(error) }
    }

    async fn attempt(
        &self,
        request: &Request,
        deadline: Instant,
        written: &Arc<AtomicBool>,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut reply = self.send(request, deadline, written).await?;
        let limit = self.shared.config.max_result;
        let mut size: usize = 0;
        let mut rows = Vec::new();
        while let Some((more, _room)) = next_rows(&mut reply, request, deadline).await? {
            size += more.iter().map(|row| row.get().len()).sum::<usize>();
            if size > limit {
                return Err(Error::ResultTooLarge { limit });
            }
            rows.extend(more);
            if request.shape == Shape::Object {
                break;
            }
        }
        Ok(rows)
    }

    /// Waits for a connection and sends.
    async fn send(
        &self,
        request: &Request,
        deadline: Instant,
        written: &Arc<AtomicBool>,
    ) -> Result<Reply, Error> {
        let config = &self.shared.config;
        let send = async {
            let connection = self.shared.pool.connection(config.unavailable_wait).await?;
            connection.request(request.payload.clone(), Arc::clone(written)).await
        };
        timeout_at(deadline, send).await.unwrap_or_else(|_| Err(timed_out(request)))
    }

    /// Refuses what need not be tried, and counts the call as under way.
    fn begin(&self, request: &Request) -> Result<TaskTrackerToken, Error> {
        let shared = &self.shared;
        if shared.calls.is_closed() {
            return Err(Error::Closed);
        }
        let (size, limit) = (request.payload.len(), shared.config.max_payload);
        if size > limit {
            return Err(Error::RequestTooLarge { size, limit });
        }
        Ok(shared.calls.token())
    }
}

fn timed_out(request: &Request) -> Error {
    Error::Timeout { method: request.method, limit: request.limit }
}

async fn next_rows(
    reply: &mut Reply,
    request: &Request,
    deadline: Instant,
) -> Result<Option<(Vec<Box<RawValue>>, OwnedSemaphorePermit)>, Error> {
    match timeout_at(deadline, reply.next()).await {
        Ok(result) => result,
        Err(_) => {
            reply.suspect();
            Err(timed_out(request))
        }
    }
}

/// Rows of an answer as they come. The request is sent when the first one is asked for.
pub(crate) struct RowStream {
    client: Client,
    request: Request,
    state: Progress,
    attempt: usize,
    /// Rows of the last frame, and the room in the row buffer that they take up.
    rows: VecDeque<Box<RawValue>>,
    room: Option<OwnedSemaphorePermit>,
    deadline: Option<Instant>,
    token: Option<TaskTrackerToken>,
}

enum Progress {
    Unsent,
    /// Sent; some rows were handed on, or none.
    Open(Reply, bool),
    Done,
}

impl RowStream {
    pub(crate) fn new(client: Client, request: Request) -> Self {
        Self {
            client,
            request,
            state: Progress::Unsent,
            attempt: 0,
            rows: VecDeque::new(),
            room: None,
            deadline: None,
            token: None,
        }
    }

    /// The next row. After a failure there is none.
    pub(crate) async fn next(&mut self) -> Option<Result<Box<RawValue>, Error>> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Some(Ok(row));
            }
            self.room = None;
            match self.advance().await {
                Ok(true) => {}
                Ok(false) => {
                    self.finish();
                    return None;
                }
                // With no row handed on, nobody sees the difference.
                Err(error) if error.is_connection_loss() && self.is_fresh() && self.attempt < ATTEMPTS => {
                    self.state = Progress::Unsent;
                }
                Err(error) => {
                    self.finish();
                    return Some(Err(error));
                }
            }
        }
    }

    fn is_fresh(&self) -> bool {
        matches!(self.state, Progress::Unsent | Progress::Open(_, false))
    }

    fn finish(&mut self) {
        self.state = Progress::Done;
        self.token = None;
    }

    /// One step; `false` when there is nothing more.
    async fn advance(&mut self) -> Result<bool, Error> {
        match &mut self.state {
            Progress::Done => Ok(false),
            Progress::Unsent => {
                if self.token.is_none() {
                    self.token = Some(self.client.begin(&self.request)?);
                }
                self.attempt += 1;
                let limit = self.request.limit.min(FOREVER);
                let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
                let reply = self.client.send(&self.request, deadline, &unwatched()).await?;
                self.state = Progress::Open(reply, false);
                Ok(true)
            }
            Progress::Open(reply, handed_on) => {
                let deadline = self.deadline.unwrap_or_else(Instant::now);
                match next_rows(reply, &self.request, deadline).await? {
                    Some((rows, room)) => {
                        *handed_on = true;
                        self.rows = rows.into();
                        self.room = Some(room);
                        Ok(true)
                    }
                    None => Ok(false),
                }
            }
        }
    }
}
