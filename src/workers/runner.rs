use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use super::{Next, Poke, Progress, Status, Worker};
use crate::telemetry::Metrics;

/// Waits after failures, without the random part: doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(60);

/// The workers of the process. They stop when this is dropped.
#[derive(Debug)]
pub struct Workers {
    metrics: Arc<Metrics>,
    running: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    progress: Arc<Progress>,
    _task: AbortOnDropHandle<()>,
}

impl Workers {
    /// None yet.
    pub fn new(metrics: Arc<Metrics>) -> Workers {
        Workers { metrics, running: Mutex::default() }
    }

    /// Lets `worker` work from now on, or after `first`; `poke` ends its waits. To be called within the runtime.
    pub fn start(&self, worker: impl Worker, first: Next, poke: Poke) {
        let name = worker.name();
        let progress = Arc::new(Progress::new(name, self.metrics.worker(name)));
        let task = AbortOnDropHandle::new(tokio::spawn(run(worker, first, Arc::clone(&progress), poke)));
        let running = Running { progress, _task: task };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
    }

    /// How each of them is, in the order in which they were started.
    pub fn status(&self) -> Vec<Status> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|running| running.progress.status()).collect()
    }
}

async fn run(mut worker: impl Worker, first: Next, progress: Arc<Progress>, poke: Poke) {
    let mut next = first;
    let mut retry = FIRST_RETRY;
    loop {
        match next {
            Next::Now => tokio::task::yield_now().await,
            Next::After(wait) => {
                let is_retry = retry > FIRST_RETRY;
                progress.waits(wait, is_retry);
                let poked = async {
                    if is_retry {
                        // What has failed is left alone for a moment, however much there is to do. No poke is lost.
                        tokio::time::sleep(FIRST_RETRY).await;
                    }
                    poke.0.notified().await;
                };
                tokio::select! {
                    () = poked => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
        progress.works();
        // Nothing is shared with other tasks but behind locks that are taken whatever happened.
        let outcome = AssertUnwindSafe(worker.work(&progress)).catch_unwind().await;
        // The panic hook has logged what a panic said.
        next = match outcome.unwrap_or_else(|_| Err("it has panicked".into())) {
            Ok(next) => {
                progress.succeeded();
                retry = FIRST_RETRY;
                next
            }
            Err(failure) => {
                progress.failed(&failure);
                let wait = retry.mul_f64(rand::random_range(0.5..1.0));
                retry = worker.longest_retry().min(retry * 2);
                Next::After(wait)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::sync::mpsc;
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::telemetry::StaticLabels;
    use crate::workers::{Failure, State};

    const HOUR: Duration = Duration::from_secs(3600);

    type Unit = fn(&Progress) -> Result<Next, Failure>;

    /// Does as it is told, and tells when it was called.
    struct Scripted {
        units: VecDeque<Unit>,
        called: mpsc::UnboundedSender<Instant>,
    }

    impl Worker for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
            self.called.send(Instant::now()).unwrap();
            self.units.pop_front().map_or(Ok(Next::After(HOUR)), |unit| unit(progress))
        }
    }

    fn start(units: impl Into<VecDeque<Unit>>) -> (Workers, Poke, mpsc::UnboundedReceiver<Instant>) {
        let metrics = Metrics::new(&StaticLabels::default()).unwrap();
        let workers = Workers::new(Arc::new(metrics));
        let (called, calls) = mpsc::unbounded_channel();
        let poke = Poke::default();
        workers.start(Scripted { units: units.into(), called }, Next::Now, poke.clone());
        (workers, poke, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_called_when_it_says_so_and_when_it_is_poked() {
        let units: [Unit; 2] = [
            |progress| {
                progress.pending(2);
                Ok(Next::Now)
            },
            |progress| {
                progress.done(2);
                progress.pending(0);
                progress.detail("all done");
                Ok(Next::After(HOUR))
            },
        ];
        let (workers, poke, mut calls) = start(units);
        let first = calls.recv().await.unwrap();
        assert_eq!(calls.recv().await.unwrap(), first);
        assert_eq!(calls.recv().await.unwrap(), first + HOUR);
        advance(HOUR / 2).await;
        poke.poke();
        assert_eq!(calls.recv().await.unwrap(), first + HOUR + HOUR / 2);
        tokio::task::yield_now().await;
        let [status] = &workers.status()[..] else { panic!("one worker") };
        assert_eq!((status.name, status.done, status.pending, status.failures), ("scripted", 2, Some(0), 0));
        assert_eq!(status.detail.as_deref(), Some("all done"));
        assert!(matches!(status.state, State::Waiting(_)) && status.last_success.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_later_and_later_and_is_told() {
        let failing: Unit = |_| Err("no way".into());
        let panicking: Unit = |_| panic!("at the disco");
        let (workers, _poke, mut calls) = start([failing, panicking, failing]);
        let mut waits = Vec::new();
        let mut before = calls.recv().await.unwrap();
        for _ in 0..3 {
            let call = calls.recv().await.unwrap();
            waits.push(call - before);
            before = call;
        }
        for (wait, longest) in waits.iter().zip([1, 2, 4].map(Duration::from_secs)) {
            // The clock of the test has milliseconds.
            assert!(*wait >= longest / 2 && *wait <= longest + Duration::from_millis(1), "{waits:?}");
        }
        tokio::task::yield_now().await;
        let [status] = &workers.status()[..] else { panic!("one worker") };
        assert_eq!((status.failures, &*status.last_error.as_ref().unwrap().message), (3, "no way"));
        assert!(matches!(status.state, State::Waiting(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_failed_is_poked_once_a_second_at_most() {
        let failing: Unit = |_| Err("no way".into());
        let (_workers, poke, mut calls) = start([failing; 8]);
        let mut before = calls.recv().await.unwrap();
        for failures in 1..8 {
            poke.poke();
            let call = calls.recv().await.unwrap();
            let wait = call - before;
            // The first wait may be shorter by itself.
            assert!(wait == FIRST_RETRY || failures == 1 && wait < FIRST_RETRY, "{failures}: {wait:?}");
            before = call;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn workers_stop_with_the_last_who_knows_them() {
        let (workers, poke, mut calls) = start([]);
        calls.recv().await.unwrap();
        drop(workers);
        poke.poke();
        assert_eq!(calls.recv().await, None);
    }
}
