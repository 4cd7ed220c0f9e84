// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A connection as its callers see it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::pending::{Event, Pending, Waiter};
use crate::config::Config;
use crate::error::Error;
use crate::fast::{Frame, Status};

/// Maximum number of abandoned requests that the server has not ended, per connection. A server that leaves more is broken.
pub(super) const MAX_ABANDONED: usize = 4096;

/// One connection. Its [driver](super::driver) moves the bytes.
pub(super) struct Connection {
    pub(super) address: SocketAddr,
    pub(super) config: Arc<Config>,
    queue: mpsc::Sender<Frame>,
    pending: Mutex<Pending>,
    last_received: Mutex<Instant>,
    /// Notified if something seems wrong, such as a request without an answer in time. The driver then checks the connection at
    /// once.
    pub(super) suspicion: Notify,
    /// Notified when a request receives its last frame or is abandoned.
    pub(super) request_done: Notify,
}

impl Connection {
    /// Creates a connection, and the queue of requests that its driver writes.
    pub(super) fn new(address: SocketAddr, config: Arc<Config>) -> (Arc<Self>, mpsc::Receiver<Frame>) {
        let (queue, requests) = mpsc::channel(config.queue);
        let connection = Self {
            address,
            config,
            queue,
            pending: Mutex::new(Pending::new()),
            last_received: Mutex::new(Instant::now()),
            suspicion: Notify::new(),
            request_done: Notify::new(),
        };
        (Arc::new(connection), requests)
    }

    /// Queues a request, waiting for space in the queue. `written` is set when the request goes to the socket.
    ///
    /// Dropping the future leaves nothing behind. Dropping the reply abandons the request.
    pub(super) async fn request(
        self: &Arc<Self>,
        payload: Bytes,
        written: Arc<AtomicBool>,
    ) -> Result<Reply, Error> {
        // The queue slot is reserved first: once there is an id, nothing can stop the frame from being queued.
        let slot = self.queue.reserve().await.map_err(|_| self.pending().how_it_ended())?;
        let (events, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.config.row_buffer));
        let msgid = self.pending().insert(Waiter { events, room, written })?;
        slot.send(Frame { version: self.config.version, status: Status::Data, msgid, payload });
        Ok(Reply { connection: Arc::clone(self), msgid, events: receiver, open: true })
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of requests that a caller waits for.
    pub(super) fn load(&self) -> usize {
        self.pending().waiting()
    }

    pub(super) fn last_received(&self) -> Instant {
        *self.last_received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_received(&self) {
        *self.last_received.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until no request is in flight.
    pub(super) async fn drained(&self) {
        loop {
            let done = self.request_done.notified();
            if self.load() == 0 {
                return;
            }
            done.await;
        }
    }
}

/// The answer to one request, frame by frame. Dropping it abandons the request.
pub(super) struct Reply {
    connection: Arc<Connection>,
    msgid: u32,
    events: mpsc::UnboundedReceiver<Event>,
    open: bool,
}

/// The objects of one frame. The permit holds their space in the row buffer.
pub(super) type Rows = (Vec<Box<RawValue>>, OwnedSemaphorePermit);

impl Reply {
    /// Returns the objects of the next frame that has any; `None` after the last frame.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>, Error> {
        match self.events.recv().await {
            Some(Event::Rows(rows, permit)) => Ok(Some((rows, permit))),
            Some(Event::End) => {
                self.open = false;
                Ok(None)
            }
            Some(Event::Failed(error)) => {
                self.open = false;
                Err(error)
            }
            None => Err(self.connection.pending().how_it_ended()),
        }
    }

    /// Makes the driver ping the connection: the request was not answered in time, so the server may be unreachable.
    pub(super) fn suspect(&self) {
        self.connection.suspicion.notify_one();
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.open {
            let mut pending = self.connection.pending();
            pending.abandon(self.msgid);
            if pending.abandoned() > MAX_ABANDONED {
                self.suspect();
            }
        }
        self.connection.request_done.notify_waiters();
    }
}

/// Creates a flag for a request whose caller does not ask whether it was written.
pub(super) fn unwatched() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

/// Returns whether a request was written to a socket.
pub(super) fn was_written(written: &AtomicBool) -> bool {
    written.load(Ordering::Acquire)
}
