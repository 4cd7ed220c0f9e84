// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The requests of one connection that have not received their last frame.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::{Error, TransportError};
use crate::fast::{MAX_MSGID, ProtocolError};

/// An event that is reported to a waiting request.
pub(super) enum Event {
    /// Objects of one frame. The permit holds their space in the row buffer until the caller takes them.
    Rows(Vec<Box<RawValue>>, OwnedSemaphorePermit),
    /// The request succeeded; nothing follows.
    End,
    /// The request failed; nothing follows.
    Failed(Error),
}

/// The connection's side of a request.
#[derive(Clone)]
pub(super) struct Waiter {
    /// The channel is unbounded; [`Waiter::room`] bounds its content.
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Bytes that rows may still take up.
    pub(super) room: Arc<Semaphore>,
    /// Set when the request goes to the socket. From then on the server may do it even if no answer arrives.
    pub(super) written: Arc<AtomicBool>,
}

enum Entry {
    Waiting {
        waiter: Waiter,
        /// Total time for which the connection has waited for this request.
        stalled: Duration,
    },
    /// The caller no longer waits, but the server will still answer. The id is not free, and its frames are dropped.
    Abandoned { written: Arc<AtomicBool> },
}

/// The message ids in use, and the requests that wait for them.
pub(super) struct Pending {
    entries: HashMap<u32, Entry>,
    next: u32,
    abandoned: usize,
    /// Why the connection ended; `None` while it is open.
    ended: Option<Error>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), next: 1, abandoned: 0, ended: None }
    }

    /// Assigns a free message id. Fails if the connection has ended.
    pub(super) fn insert(&mut self, waiter: Waiter) -> Result<u32, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        while self.entries.contains_key(&self.next) {
            self.next = following(self.next);
        }
        let msgid = self.next;
        self.next = following(msgid);
        self.entries.insert(msgid, Entry::Waiting { waiter, stalled: Duration::ZERO });
        Ok(msgid)
    }

    /// Marks a request as written. Returns `false` if its caller no longer waits: then it need not be sent, and its id is free.
    pub(super) fn begin_writing(&mut self, msgid: u32) -> bool {
        match self.entries.get(&msgid) {
            Some(Entry::Waiting { waiter, .. }) => {
                waiter.written.store(true, Ordering::Release);
                true
            }
            Some(Entry::Abandoned { .. }) => {
                self.remove(msgid);
                false
            }
            None => false,
        }
    }

    /// Returns the request that waits for frames with this message id, and how long it has delayed the connection; `None` if it
    /// was abandoned.
    pub(super) fn waiter(&self, msgid: u32) -> Result<Option<(Waiter, Duration)>, ProtocolError> {
        match self.entries.get(&msgid) {
            Some(Entry::Waiting { waiter, stalled }) => Ok(Some((waiter.clone(), *stalled))),
            // The server cannot know an id that was never written.
            Some(Entry::Abandoned { written }) if written.load(Ordering::Acquire) => Ok(None),
            _ => Err(ProtocolError::UnknownMsgid(msgid)),
        }
    }

    pub(super) fn add_stall(&mut self, msgid: u32, time: Duration) {
        if let Some(Entry::Waiting { stalled, .. }) = self.entries.get_mut(&msgid) {
            *stalled += time;
        }
    }

    /// Frees a message id after its last frame.
    pub(super) fn finish(&mut self, msgid: u32, event: Event) {
        if let Some(Entry::Waiting { waiter, .. }) = self.remove(msgid) {
            // It does not matter if the caller is gone.
            let _ = waiter.events.send(event);
        }
    }

    /// Abandons a request but keeps its id in use. Does nothing if the last frame has arrived.
    pub(super) fn abandon(&mut self, msgid: u32) {
        if let Some(entry) = self.entries.get_mut(&msgid)
            && let Entry::Waiting { waiter, .. } = entry
        {
            let written = Arc::clone(&waiter.written);
            *entry = Entry::Abandoned { written };
            self.abandoned += 1;
        }
    }

    /// Fails all current and future requests of the connection.
    pub(super) fn end(&mut self, error: &Error) {
        self.ended.get_or_insert_with(|| error.clone());
        self.abandoned = 0;
        for (_, entry) in self.entries.drain() {
            if let Entry::Waiting { waiter, .. } = entry {
                let _ = waiter.events.send(Event::Failed(error.clone()));
            }
        }
    }

    /// Returns why the connection ended, or a general error if that is not known.
    pub(super) fn how_it_ended(&self) -> Error {
        self.ended.clone().unwrap_or(Error::Transport(TransportError::Retired))
    }

    /// Number of requests that a caller waits for.
    pub(super) fn waiting(&self) -> usize {
        self.entries.len() - self.abandoned
    }

    /// Number of abandoned requests.
    pub(super) fn abandoned(&self) -> usize {
        self.abandoned
    }

    fn remove(&mut self, msgid: u32) -> Option<Entry> {
        let entry = self.entries.remove(&msgid);
        if let Some(Entry::Abandoned { .. }) = entry {
            self.abandoned -= 1;
        }
        entry
    }
}

/// Returns the message id after this one. Ids run from 1 to [`MAX_MSGID`] and start again.
fn following(msgid: u32) -> u32 {
    if msgid >= MAX_MSGID { 1 } else { msgid + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter() -> (Waiter, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Waiter { events, room: Arc::new(Semaphore::new(1)), written: Arc::default() }, receiver)
    }

    #[test]
    fn ids_start_at_1_and_wrap_around_those_in_use() {
        let mut pending = Pending::new();
        assert_eq!(pending.insert(waiter().0).unwrap(), 1);
        assert_eq!(pending.insert(waiter().0).unwrap(), 2);
        pending.abandon(2);
        pending.next = MAX_MSGID;
        assert_eq!(pending.insert(waiter().0).unwrap(), MAX_MSGID);
        assert_eq!(pending.insert(waiter().0).unwrap(), 3, "1 waits and 2 is abandoned");
    }

    #[test]
    fn an_abandoned_id_is_free_after_its_last_frame() {
        let mut pending = Pending::new();
        let id = pending.insert(waiter().0).unwrap();
        assert!(pending.begin_writing(id));
        pending.abandon(id);
        assert!(pending.waiter(id).unwrap().is_none());
        assert_eq!((pending.waiting(), pending.abandoned()), (0, 1));
        pending.finish(id, Event::End);
        assert_eq!(pending.abandoned(), 0);
        assert!(pending.waiter(id).is_err());
    }

    #[test]
    fn what_was_abandoned_in_the_queue_is_never_sent() {
        let mut pending = Pending::new();
        let id = pending.insert(waiter().0).unwrap();
        pending.abandon(id);
        assert!(pending.waiter(id).is_err(), "an answer to it would be a lie");
        assert!(!pending.begin_writing(id));
        assert_eq!((pending.waiting(), pending.abandoned()), (0, 0));
    }

    #[test]
    fn the_end_of_the_connection_reaches_those_who_wait_and_those_who_come() {
        let mut pending = Pending::new();
        let (first, mut events) = waiter();
        pending.insert(first).unwrap();
        pending.end(&Error::Closed);
        assert!(matches!(events.try_recv(), Ok(Event::Failed(Error::Closed))));
        assert!(matches!(pending.insert(waiter().0), Err(Error::Closed)));
    }
}
