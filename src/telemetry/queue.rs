//! The way of records to standard output: a bounded queue that never blocks, and one thread that writes.
//!
//! A log that nobody reads (a full pipe, a stopped terminal) must not stop the service: what does not fit is
//! dropped and counted. The thread joins waiting records to one `write` of whole lines, so that a log rotated
//! by copy-and-truncate never holds half a record.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Records that may wait.
const MAX_RECORDS: usize = 16_384;
/// Bytes that may wait; audit records with bodies are up to about 130 KiB each.
const MAX_BYTES: usize = 16 << 20;
/// Records are joined up to this size for one `write`.
const BATCH_BYTES: usize = 64 << 10;
/// How long to wait before trying a non-blocking descriptor again.
const WOULD_BLOCK_PAUSE: Duration = Duration::from_millis(5);

/// Records on their way to the output. Dropping the last handle lets the thread end after the rest is written.
pub(super) struct Queue {
    sender: SyncSender<Vec<u8>>,
    progress: Arc<Progress>,
    pushed: AtomicU64,
}

#[derive(Default)]
struct Progress {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    written: Mutex<u64>,
    changed: Condvar,
}

impl Queue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Arc<Queue>> {
        let (sender, receiver) = sync_channel(MAX_RECORDS);
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all_records(&receiver, out, &shared))?;
        Ok(Arc::new(Queue { sender, progress, pushed: AtomicU64::new(0) }))
    }

    /// Queues one record with its line end. Never blocks; drops it when the queue is full.
    pub(super) fn push(&self, record: Vec<u8>) {
        let size = record.len();
        let waiting = self.progress.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        if waiting + size > MAX_BYTES || self.sender.try_send(record).is_err() {
            self.progress.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.progress.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.pushed.fetch_add(1, Ordering::Release);
        }
    }

    /// Records dropped since the start, for lack of room or because of write errors.
    pub(super) fn dropped(&self) -> u64 {
        self.progress.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything queued so far is written; false if that takes longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let target = self.pushed.load(Ordering::Acquire);
        let deadline = Instant::now() + limit;
        let mut written = self.progress.written.lock().unwrap_or_else(PoisonError::into_inner);
        while *written < target {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.progress.changed.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn write_all_records(receiver: &Receiver<Vec<u8>>, mut out: impl Write, progress: &Progress) {
    let mut reported = 0;
    while let Ok(first) = receiver.recv() {
        let mut count = 1;
        let mut batch = first;
        while batch.len() < BATCH_BYTES
            && let Ok(next) = receiver.try_recv()
        {
            batch.extend_from_slice(&next);
            count += 1;
        }
        if write_batch(&mut out, &batch).is_err() {
            progress.dropped.fetch_add(count, Ordering::Relaxed);
        }
        progress.waiting_bytes.fetch_sub(batch.len(), Ordering::Relaxed);
        *progress.written.lock().unwrap_or_else(PoisonError::into_inner) += count;
        progress.changed.notify_all();
        let dropped = progress.dropped.load(Ordering::Relaxed);
        if dropped > reported && progress.waiting_bytes.load(Ordering::Relaxed) < MAX_BYTES / 2 {
            tracing::warn!(records = dropped - reported, "log records dropped");
            reported = dropped;
        }
    }
}

fn write_batch(out: &mut impl Write, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Standard output may be a non-blocking pipe that another process shares.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(WOULD_BLOCK_PAUSE),
            Err(e) => return Err(e),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

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
        for _ in 0..40 {
            queue.push(record.clone());
        }
        assert_eq!(queue.dropped(), 24, "16 MiB may wait");
        assert!(!queue.flush(Duration::from_millis(1)));
        for _ in 0..64 {
            permit.send(()).unwrap();
        }
        assert!(queue.flush(Duration::from_secs(30)));
        let written: usize = seen.try_iter().map(|bytes| bytes.len()).sum();
        assert_eq!(written, 16 << 20);
        queue.push(b"after\n".to_vec());
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(seen.try_iter().last().unwrap(), b"after\n");
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
        queue.push(b"lost\n".to_vec());
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(queue.dropped(), 1);
    }
}
