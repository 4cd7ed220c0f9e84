// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One call: it takes a connection, has a deadline, and is tried again where that is safe.

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

/// Maximum number of attempts at one call.
const ATTEMPTS: usize = 3;

/// The effect of a request on the store. It decides whether the request may be sent again if its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The request changes nothing.
    Read,
    /// Doing the request twice has the same effect as doing it once.
    Idempotent,
    /// The request must not be done twice.
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

/// The shape of the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One object, which completes the answer. The client does not wait for the END frame. It may arrive 40 ms later, because the
    /// server's socket holds it back until the first packet is acknowledged, and delayed acknowledgements take that long.
    Object,
    /// Any number of rows, including none. Only the END frame completes the answer.
    Rows,
}

/// The result of a call, with all its attempts.
pub(crate) struct Answer {
    pub(crate) result: Result<Vec<Box<RawValue>>, Error>,
    /// Whether the request was sent before and its answer was lost. Then the earlier request may have been done.
    pub(crate) repeated: bool,
}

impl Client {
    /// Calls and collects the rows, up to the configured size.
    pub(crate) async fn call(&self, request: &Request) -> Result<Vec<Box<RawValue>>, Error> {
        self.call_and_tell(request).await.result
    }

    /// Calls like [`Client::call`], and also reports whether the request was repeated.
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

    /// Turns an error into [`Error::OutcomeUnknown`] if the write may have been done, so that it does not look like a failed one.
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

    /// Waits for a connection and sends the request.
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

    /// Rejects requests that cannot succeed, and counts the call as in flight.
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

/// The rows of an answer as they arrive. The request is sent when the first row is requested.
pub(crate) struct RowStream {
    client: Client,
    request: Request,
    state: Progress,
    attempt: usize,
    /// Rows of the last frame, and the space that they take in the row buffer.
    rows: VecDeque<Box<RawValue>>,
    room: Option<OwnedSemaphorePermit>,
    deadline: Option<Instant>,
    token: Option<TaskTrackerToken>,
}

enum Progress {
    Unsent,
    /// The request was sent. The flag says whether rows were handed to the caller.
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

    /// Returns the next row. After an error there are no more rows.
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
                // As long as no row was handed to the caller, the request can be repeated unnoticed.
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

    /// Does one step. Returns `false` if the answer is complete.
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
