// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Next, Poke, Progress, Status, Worker};
use crate::telemetry::Metrics;

/// The shortest and the longest pause after failures. The pause doubles each time, and then gets a random factor.
const FIRST_RETRY: Duration = Duration::from_secs(1);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(60);

/// How long a worker may continue its unit of work after it was told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The workers of the process. They stop when this is dropped.
#[derive(Debug)]
pub struct Workers {
    metrics: Arc<Metrics>,
    running: Mutex<Vec<RunningWorker>>,
}

#[derive(Debug)]
struct RunningWorker {
    progress: Arc<Progress>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// A worker that has not been started.
pub struct Prepared {
    name: &'static str,
    begin: Box<dyn FnOnce(Arc<Progress>, CancellationToken) -> Task + Send>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Prepared {
    /// Prepares a worker, which does its first unit of work at `first`; `poke` ends its waits.
    pub fn new(worker: impl Worker, first: Next, poke: Poke) -> Prepared {
        let name = worker.name();
        let begin = move |progress, stop| -> Task { Box::pin(run(worker, first, progress, poke, stop)) };
        Prepared { name, begin: Box::new(begin) }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.name).finish()
    }
}

impl Workers {
    /// Starts without workers.
    pub fn new(metrics: Arc<Metrics>) -> Workers {
        Workers { metrics, running: Mutex::default() }
    }

    /// Starts a worker. Must be called within the runtime.
    pub fn start(&self, worker: Prepared) {
        let progress = Arc::new(Progress::new(worker.name, self.metrics.worker(worker.name)));
        let stop = CancellationToken::new();
        let task = tokio::spawn((worker.begin)(Arc::clone(&progress), stop.clone()));
        self.running().push(RunningWorker { progress, stop, task: AbortOnDropHandle::new(task) });
    }

    /// Stops the worker with this name, if there is one, and waits until it has ended. It may finish its unit of work,
    /// but only within some seconds.
    pub async fn stop(&self, name: &str) {
        let stopped: Vec<_> =
            self.running().extract_if(.., |running| running.progress.name() == name).collect();
        for RunningWorker { progress, stop, mut task } in stopped {
            stop.cancel();
            if timeout(STOP_LIMIT, &mut task).await.is_err() {
                task.abort();
                // The task ends at its next `await`, with an error that says it was aborted.
                let _ = task.await;
            }
            progress.is_over();
        }
    }

    /// Returns the status of each worker, in the order in which they were started.
    pub fn status(&self) -> Vec<Status> {
        self.running().iter().map(|running| running.progress.status()).collect()
    }

    fn running(&self) -> MutexGuard<'_, Vec<RunningWorker>> {
        // Every change of the list is a single step, so a panic cannot leave it inconsistent.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(
    mut worker: impl Worker,
    first: Next,
    progress: Arc<Progress>,
    poke: Poke,
    stop: CancellationToken,
) {
    let mut next = first;
    let mut retry = FIRST_RETRY;
    loop {
        match next {
            Next::Now => tokio::task::yield_now().await,
            Next::After(wait) => {
                let is_retry = retry > FIRST_RETRY;
                progress.waits(wait, is_retry);
                let batch_delay = worker.batch_delay();
                let poked = async {
                    if is_retry {
                        // After a failure the worker rests for a moment, however much there is to do. No poke is lost.
                        tokio::time::sleep(FIRST_RETRY).await;
                        return poke.0.notified().await;
                    }
                    poke.0.notified().await;
                    tokio::time::sleep(batch_delay).await;
                    // The pokes of that time concern the next unit of work.
                    let _ = poke.0.notified().now_or_never();
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = poked => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
        if stop.is_cancelled() {
            return;
        }
        progress.works();
        // A panic ends the process; see the logger.
        next = match worker.work(&progress).await {
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

    /// How long the worker waits for more work after a poke.
    const GATHERS: Duration = Duration::from_secs(2);

    type Unit = fn(&Progress) -> Result<Next, Failure>;

    /// Returns scripted results, and reports when it was called.
    struct Scripted {
        units: VecDeque<Unit>,
        called: mpsc::UnboundedSender<Instant>,
    }

    impl Worker for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn batch_delay(&self) -> Duration {
            GATHERS
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
        workers.start(Prepared::new(Scripted { units: units.into(), called }, Next::Now, poke.clone()));
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
        assert_eq!(calls.recv().await.unwrap(), first + HOUR + HOUR / 2 + GATHERS);
        tokio::task::yield_now().await;
        let [status] = &workers.status()[..] else { panic!("one worker") };
        assert_eq!((status.name, status.done, status.pending, status.failures), ("scripted", 2, Some(0), 0));
        assert_eq!(status.detail.as_deref(), Some("all done"));
        assert!(matches!(status.state, State::Waiting(_)) && status.last_success.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_later_and_later_and_is_told() {
        let failing: Unit = |_| Err("no way".into());
        let (workers, _poke, mut calls) = start([failing; 3]);
        let mut waits = Vec::new();
        let mut before = calls.recv().await.unwrap();
        for _ in 0..3 {
            let call = calls.recv().await.unwrap();
            waits.push(call - before);
            before = call;
        }
        for (wait, longest) in waits.iter().zip([1, 2, 4].map(Duration::from_secs)) {
            // The clock of the test has a resolution of milliseconds.
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
            // Because of the random factor the first pause may be shorter.
            assert!(wait == FIRST_RETRY || failures == 1 && wait < FIRST_RETRY, "{failures}: {wait:?}");
            before = call;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_stopped_between_two_units_and_another_one_takes_its_place() {
        let (workers, _poke, mut calls) = start([|_| Ok(Next::After(HOUR))] as [Unit; 1]);
        let first = calls.recv().await.unwrap();
        workers.stop("another").await;
        assert_eq!(workers.status().len(), 1);
        workers.stop("scripted").await;
        assert_eq!((workers.status().len(), calls.recv().await), (0, None));
        assert_eq!(Instant::now(), first);
    }

    /// A worker whose unit of work never ends.
    struct Endless(mpsc::UnboundedSender<()>);

    impl Worker for Endless {
        fn name(&self) -> &'static str {
            "endless"
        }

        async fn work(&mut self, _: &Progress) -> Result<Next, Failure> {
            self.0.send(()).unwrap();
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_takes_too_long_to_stop_is_interrupted() {
        let (workers, _poke, _calls) = start([]);
        let (called, mut calls) = mpsc::unbounded_channel();
        workers.start(Prepared::new(Endless(called), Next::Now, Poke::default()));
        calls.recv().await.unwrap();
        let started = Instant::now();
        workers.stop("endless").await;
        assert_eq!(calls.recv().await, None);
        assert!(started.elapsed() >= STOP_LIMIT);
        assert_eq!(workers.status().len(), 1);
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
