// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Passes records to standard output: a bounded buffer that never blocks, and one thread that writes.
//!
//! A log that nobody reads (a full pipe, a stopped terminal) must not stop the service, so records that do not fit are
//! dropped and counted. The thread writes whole lines only, so that a log rotated by copy-and-truncate never holds a
//! partial record. It writes at intervals, because waking it for each record costs more than the record.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes that wait, and the most that the thread holds. Audit records with bodies are up to about 130 KiB each.
const MAX_BYTES: usize = 8 << 20;
/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(5);
/// The memory in bytes that the buffers keep after a burst.
const KEPT_BYTES: usize = 256 << 10;
/// The pause before a non-blocking descriptor is tried again.
const WOULD_BLOCK_PAUSE: Duration = Duration::from_millis(5);

/// The queue of records for the output. When it is dropped, the thread writes the rest and ends.
pub(super) struct Queue(Arc<QueueInner>);

#[derive(Default)]
struct QueueInner {
    waiting: Mutex<Waiting>,
    /// Notified when the first record arrives, when the queue is closed, and when a flush begins.
    pushed: Condvar,
    /// Notified when records have been written.
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// Records with their line ends.
    lines: Vec<u8>,
    /// Records in `lines`.
    records: u64,
    /// The number of records accepted since the start. `finished` counts those that were written or dropped.
    accepted: u64,
    finished: u64,
    /// Whether a flush is waiting, so that records must not gather.
    urgent: bool,
    closed: bool,
}

impl QueueInner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Arc<Queue>> {
        let shared = Arc::new(QueueInner::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all_records(&writer, out))?;
        Ok(Arc::new(Queue(shared)))
    }

    /// Queues one record with its line end. Never blocks: the record is dropped if there is no room.
    pub(super) fn push(&self, record: &[u8]) {
        let mut waiting = self.0.waiting();
        if waiting.lines.len() + record.len() > MAX_BYTES {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(record);
        waiting.records += 1;
        waiting.accepted += 1;
        let first = waiting.records == 1;
        drop(waiting);
        if first {
            self.0.pushed.notify_one();
        }
    }

    /// Returns the number of records dropped since the start, for lack of room or because of write errors.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything queued so far is written. Returns false if that takes longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut waiting = self.0.waiting();
        let target = waiting.accepted;
        while waiting.finished < target {
            waiting.urgent = true;
            self.0.pushed.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.written.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.waiting().closed = true;
        self.0.pushed.notify_one();
    }
}

fn write_all_records(shared: &QueueInner, mut out: impl Write) {
    let mut reported = 0;
    let mut lines = Vec::new();
    while let Some(records) = gather(shared, &mut lines) {
        if write_batch(&mut out, &lines).is_err() {
            shared.dropped.fetch_add(records, Ordering::Relaxed);
        }
        let mut waiting = shared.waiting();
        waiting.finished += records;
        let relieved = waiting.lines.len() < MAX_BYTES / 2;
        drop(waiting);
        shared.written.notify_all();
        let dropped = shared.dropped.load(Ordering::Relaxed);
        if dropped > reported && relieved {
            tracing::warn!(records = dropped - reported, "log records dropped");
            reported = dropped;
        }
    }
}

/// Takes the waiting records and returns their number. It waits for the first one, and a little for more. `None` if
/// there will be no more.
fn gather(shared: &QueueInner, lines: &mut Vec<u8>) -> Option<u64> {
    lines.clear();
    lines.shrink_to(KEPT_BYTES);
    let nothing = |waiting: &mut Waiting| waiting.records == 0 && !waiting.closed;
    let waiting = shared.pushed.wait_while(shared.waiting(), nothing);
    let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
    let more = |waiting: &mut Waiting| !waiting.urgent && !waiting.closed;
    let waited = shared.pushed.wait_timeout_while(waiting, GATHER, more);
    let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
    waiting.urgent = false;
    mem::swap(&mut waiting.lines, lines);
    let records = mem::take(&mut waiting.records);
    (records > 0).then_some(records)
}

fn write_batch(out: &mut impl Write, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Standard output may be a non-blocking pipe that is shared with another process.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(WOULD_BLOCK_PAUSE),
            Err(e) => return Err(e),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

    /// A writer that waits for a permit before every write.
    struct Gate(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(buf.to_vec()).map_err(io::Error::other)?;
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_output_drops_and_counts_and_recovers() {
        let (permit, gate) = channel();
        let (seen_tx, seen) = sync_channel(1024);
        let queue = Queue::start(Gate(gate, seen_tx)).unwrap();
        let record = vec![b'x'; 1 << 20];
        queue.push(b"first\n");
        // The thread has taken the record and is waiting for the output.
        wait_until(|| queue.0.waiting().records == 0);
        for _ in 0..40 {
            queue.push(&record);
        }
        assert_eq!(queue.dropped(), 32, "8 MiB may wait");
        assert!(!queue.flush(Duration::from_millis(1)));
        for _ in 0..64 {
            permit.send(()).unwrap();
        }
        assert!(queue.flush(Duration::from_secs(30)));
        let written: usize = seen.try_iter().map(|bytes| bytes.len()).sum();
        assert_eq!(written, (8 << 20) + b"first\n".len());
        queue.push(b"after\n");
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(seen.try_iter().last().unwrap(), b"after\n");
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(30));
            thread::yield_now();
        }
    }

    #[test]
    fn what_waits_is_written_after_the_queue_is_gone() {
        let (permit, gate) = channel();
        let (seen_tx, seen) = sync_channel(1024);
        let queue = Queue::start(Gate(gate, seen_tx)).unwrap();
        queue.push(b"one\n");
        queue.push(b"two\n");
        drop(queue);
        permit.send(()).unwrap();
        permit.send(()).unwrap();
        let written: Vec<u8> = seen.iter().flatten().collect();
        assert_eq!(written, b"one\ntwo\n");
    }

    #[test]
    fn a_failing_output_counts_its_records() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = Queue::start(Broken).unwrap();
        queue.push(b"lost\n");
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(queue.dropped(), 1);
    }
}
