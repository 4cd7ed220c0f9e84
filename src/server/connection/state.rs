// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The state that hyper's side and the service's side of a connection share.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::config::{Pace, Stalled, TransferLimits};
use crate::server::limits::ConnectionConfig;
use crate::server::sendfile::Regions;

/// The most bytes kept of a withheld answer. Its head is much shorter.
const MAX_WITHHELD: usize = 4096;

/// The phase of a connection in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::server) enum Phase {
    /// No byte of a request has arrived.
    Idle,
    /// A part of the request's head has arrived.
    Head,
    /// The service is handling the request.
    Serving,
    /// hyper has the whole answer, but may not have written all of it.
    Flushing,
}

impl Phase {
    /// Returns whether no request is being handled. Anything hyper writes now is its own answer to bytes that it cannot parse.
    pub(super) fn awaits_head(self) -> bool {
        matches!(self, Phase::Idle | Phase::Head)
    }
}

/// The deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Idle,
    Head,
    Stalled(Stalled),
}

/// A handle of the request's connection, for the files in its answer. It is an extension of the request, and cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct ConnectionHandle(pub(in crate::server) Arc<ConnectionState>);

/// The state of one connection.
pub(in crate::server) struct ConnectionState {
    pub(in crate::server) regions: Regions,
    /// Whether the client is on this host.
    local: bool,
    opened: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds since `opened`.
    phase_since: AtomicU64,
    /// Since when no byte could be written, in milliseconds since `opened`; `u64::MAX` if the socket is writable.
    blocked_since: AtomicU64,
    /// Bytes written since the last wait.
    written: AtomicU64,
    /// How fast the client takes what is written.
    pace: Mutex<TransferWatch>,
    at_eof: AtomicBool,
    withheld: Mutex<Vec<u8>>,
    /// The socket, once hyper is done with it.
    stream: Mutex<Option<TcpStream>>,
}

/// The limits for a client that receives an answer, and whether it keeps to them.
struct TransferWatch {
    limits: TransferLimits,
    /// An error once the client was too slow.
    pace: Result<Pace, Stalled>,
}

impl TransferWatch {
    fn new(limits: TransferLimits) -> TransferWatch {
        TransferWatch { limits, pace: Ok(Pace::new(limits)) }
    }
}

impl ConnectionState {
    pub(super) fn new(peer: SocketAddr, limits: TransferLimits) -> ConnectionState {
        ConnectionState {
            local: peer.ip().to_canonical().is_loopback(),
            regions: Regions::default(),
            opened: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            phase_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(0),
            pace: Mutex::new(TransferWatch::new(limits)),
            at_eof: AtomicBool::new(false),
            withheld: Mutex::default(),
            stream: Mutex::default(),
        }
    }

    /// Returns whether the client is on this host.
    pub(in crate::server) fn is_local(&self) -> bool {
        self.local
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase_since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Serving,
            _ => Phase::Flushing,
        }
    }

    /// Notes that the client has sent bytes, or the end of its input.
    pub(super) fn received(&self, bytes: usize) {
        if bytes == 0 {
            self.at_eof.store(true, Ordering::Relaxed);
        } else if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Returns whether the client has closed its side.
    pub(super) fn at_eof(&self) -> bool {
        self.at_eof.load(Ordering::Relaxed)
    }

    /// Notes that everything from hyper is written.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Flushing {
            self.enter(Phase::Idle);
        }
    }

    /// Notes an attempt to write: the number of bytes written, or that the socket is blocked.
    pub(super) fn wrote(&self, result: &Poll<io::Result<usize>>) {
        let blocked_since = self.blocked_since.load(Ordering::Relaxed);
        match result {
            Poll::Pending if blocked_since == u64::MAX => {
                self.blocked_since.store(self.now(), Ordering::Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(result) => {
                let bytes = result.as_ref().map_or(0, |bytes| *bytes as u64);
                self.written.fetch_add(bytes, Ordering::Relaxed);
                if blocked_since != u64::MAX {
                    self.blocked_since.store(u64::MAX, Ordering::Relaxed);
                    self.waited(Duration::from_millis(self.now().saturating_sub(blocked_since)));
                }
            }
        }
    }

    /// Notes the end of a wait for the client.
    fn waited(&self, waited: Duration) {
        let written = self.written.swap(0, Ordering::Relaxed);
        let pace = &mut self.kept().pace;
        if let Err(stalled) = pace.as_mut().map_or(Ok(()), |pace| pace.advance(waited, written)) {
            *pace = Err(stalled);
        }
    }

    /// Sets the limits that the client has to keep to from now on.
    pub(super) fn keep_to(&self, limits: TransferLimits) {
        let mut kept = self.kept();
        if kept.limits != limits {
            *kept = TransferWatch::new(limits);
        }
    }

    fn kept(&self) -> MutexGuard<'_, TransferWatch> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer that hyper writes by itself.
    pub(super) fn withhold(&self, bytes: &[u8]) {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_WITHHELD.saturating_sub(withheld.len());
        withheld.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Takes the withheld answer.
    pub(super) fn withheld(&self) -> Vec<u8> {
        mem::take(&mut *self.withheld.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the socket back from hyper's side.
    pub(super) fn give_back(&self, stream: Option<TcpStream>) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    }

    /// Returns the socket that hyper's side has given back.
    pub(super) fn take_stream(&self) -> Option<TcpStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns how long to wait until the next check of the deadlines, or the deadline that has passed.
    pub(super) fn overdue(&self, config: &ConnectionConfig) -> Result<Duration, Overdue> {
        let now = self.now();
        let left =
            |since: u64, limit: Duration| limit.checked_sub(Duration::from_millis(now.saturating_sub(since)));
        let transfer = match &*self.kept() {
            TransferWatch { pace: Err(slow), .. } => return Err(Overdue::Stalled(*slow)),
            TransferWatch { limits, .. } => *limits,
        };
        // If something begins after this check, it is checked again before its limit passes.
        let mut next = config.header_timeout.min(transfer.idle);
        let blocked_since = self.blocked_since.load(Ordering::Relaxed);
        if blocked_since != u64::MAX {
            let left = left(blocked_since, transfer.idle);
            next = next.min(left.ok_or(Overdue::Stalled(transfer.idle_for_too_long()))?);
        }
        let phase_since = self.phase_since.load(Ordering::Relaxed);
        match self.phase() {
            Phase::Idle => next = next.min(left(phase_since, config.idle_timeout).ok_or(Overdue::Idle)?),
            Phase::Head => next = next.min(left(phase_since, config.header_timeout).ok_or(Overdue::Head)?),
            Phase::Serving | Phase::Flushing => {}
        }
        // Both clocks are rounded down to milliseconds. One more makes sure that the limit has passed by then.
        Ok(next + Duration::from_millis(1))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}
