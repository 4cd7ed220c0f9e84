// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Moves the bytes of one connection. One task runs three loops: a reader, a writer and a keeper that pings.
//!
//! Each loop waits only for its own events, so none delays another. The first one to fail ends the connection.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::connection::{Connection, MAX_ABANDONED, unwatched};
use super::pending::{Event, Waiter};
use super::quick_ack::QuickAck;
use crate::api::ping_payload;
use crate::error::{Error, TransportError};
use crate::fast::{Envelope, ErrorPayload, Frame, FrameCodec, Status};

/// Bytes charged for each frame and each row in the row buffer, so that empty ones are not free.
const OVERHEAD: usize = 128;

/// Runs the connection until it ends, then fails its requests and returns the reason.
pub(super) async fn drive(
    connection: Arc<Connection>,
    stream: TcpStream,
    requests: mpsc::Receiver<Frame>,
) -> Error {
    let codec = FrameCodec::new(connection.config.max_payload);
    let (reader, writer) = stream.into_split();
    let error = tokio::select! {
        result = read(&connection, FramedRead::new(QuickAck(reader), codec.clone())) => error_of(result),
        result = write(&connection, requests, FramedWrite::new(writer, codec)) => error_of(result),
        result = keep(&connection) => error_of(result),
    };
    connection.pending().end(&error);
    connection.request_done.notify_waiters();
    error
}

fn error_of(result: Result<Infallible, Error>) -> Error {
    match result {
        Err(error) => error,
    }
}

async fn read(
    connection: &Connection,
    mut frames: FramedRead<QuickAck, FrameCodec>,
) -> Result<Infallible, Error> {
    while let Some(frame) = frames.next().await {
        let frame = frame?;
        connection.note_received();
        receive(connection, frame).await?;
    }
    Err(TransportError::ClosedByPeer.into())
}

async fn receive(connection: &Connection, frame: Frame) -> Result<(), Error> {
    let msgid = frame.msgid;
    let waiter = connection.pending().waiter(msgid)?;
    let last = match frame.status {
        Status::Error => Some(Event::Failed(Error::Server(ErrorPayload::parse(&frame.payload)?.into()))),
        Status::Data | Status::End => {
            if let Some((waiter, stalled)) = waiter {
                let rows: Vec<_> = Envelope::parse(&frame.payload)?.into_objects().collect();
                if !rows.is_empty() {
                    let size = frame.payload.len() + OVERHEAD * (rows.len() + 1);
                    deliver(connection, msgid, &waiter, stalled, rows, size).await;
                }
            }
            (frame.status == Status::End).then_some(Event::End)
        }
    };
    if let Some(event) = last {
        connection.pending().finish(msgid, event);
        connection.request_done.notify_waiters();
    }
    Ok(())
}

/// Hands rows to the request. Waits for space in the row buffer, as long as the request may still delay the connection.
async fn deliver(
    connection: &Connection,
    msgid: u32,
    waiter: &Waiter,
    stalled: Duration,
    rows: Vec<Box<RawValue>>,
    size: usize,
) {
    let size = u32::try_from(size.min(connection.config.row_buffer)).unwrap_or(u32::MAX);
    let room = Arc::clone(&waiter.room);
    let permit = match Arc::clone(&room).try_acquire_many_owned(size) {
        Ok(permit) => Some(permit),
        Err(_) => {
            let start = Instant::now();
            let left = connection.config.stall_limit.saturating_sub(stalled);
            let permit = wait_for_room(waiter, room.acquire_many_owned(size), left).await;
            connection.pending().add_stall(msgid, start.elapsed());
            permit
        }
    };
    match permit {
        Some(permit) => {
            // A request that was abandoned meanwhile receives nothing.
            let _ = waiter.events.send(Event::Rows(rows, permit));
        }
        None => {
            connection.pending().abandon(msgid);
            let _ = waiter.events.send(Event::Failed(Error::SlowConsumer));
        }
    }
}

async fn wait_for_room<E>(
    waiter: &Waiter,
    room: impl Future<Output = Result<OwnedSemaphorePermit, E>>,
    limit: Duration,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        permit = room => permit.ok(),
        () = waiter.events.closed() => None,
        () = sleep(limit) => None,
    }
}

async fn write(
    connection: &Connection,
    mut requests: mpsc::Receiver<Frame>,
    mut frames: FramedWrite<OwnedWriteHalf, FrameCodec>,
) -> Result<Infallible, Error> {
    while let Some(frame) = requests.recv().await {
        let mut next = Some(frame);
        while let Some(frame) = next {
            if connection.pending().begin_writing(frame.msgid) {
                in_time(connection, frames.feed(frame)).await?;
            }
            next = requests.try_recv().ok();
        }
        in_time(connection, frames.flush()).await?;
    }
    Err(TransportError::Retired.into())
}

async fn in_time<E: Into<Error>>(
    connection: &Connection,
    step: impl Future<Output = Result<(), E>>,
) -> Result<(), Error> {
    let limit = connection.config.write_deadline;
    match timeout(limit, step).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(TransportError::WriteStalled(limit).into()),
    }
}

/// Pings when nothing was received for long, or when a request was not answered in time.
async fn keep(connection: &Arc<Connection>) -> Result<Infallible, Error> {
    loop {
        let idle_at = connection.last_received() + connection.config.idle_ping;
        tokio::select! {
            () = sleep_until(idle_at) => {
                if connection.last_received().elapsed() < connection.config.idle_ping {
                    continue;
                }
            }
            () = connection.suspicion.notified() => {}
        }
        let abandoned = connection.pending().abandoned();
        if abandoned > MAX_ABANDONED {
            return Err(TransportError::TooManyAbandoned(abandoned).into());
        }
        ping(connection).await?;
    }
}

/// Pings the server. Any frame counts as a sign of life, not only the answer.
pub(super) async fn ping(connection: &Arc<Connection>) -> Result<(), Error> {
    let limit = connection.config.ping_limit;
    let start = Instant::now();
    let answer = timeout(limit, async {
        let mut reply = connection.request(ping_payload(false, None)?, unwatched()).await?;
        while reply.next().await?.is_some() {}
        Ok(())
    });
    match answer.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Error::Server(error))) => Err(TransportError::PingRefused(error.to_string()).into()),
        Ok(Err(error)) => Err(error),
        Err(_) if connection.last_received() > start => Ok(()),
        Err(_) => Err(TransportError::PingUnanswered(limit).into()),
    }
}
