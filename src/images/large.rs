// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs the work on large requests and answers off the runtime's threads, which other requests need.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{block_in_place, futures::TaskLocalFuture};
use tokio::time::timeout;

/// A body of so many bytes is read, checked and rendered within a tenth of a millisecond or so. A longer one is large.
const MOST: usize = 16 << 10;

/// Memory for the large bodies that are worked on at the same time, in units of [`MOST`].
const ROOM: usize = (128 << 20) / MOST;

/// How long a large body waits for others, and how many may wait: each is in memory meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_WAITING: usize = 16;

/// The large bodies that this process works on.
static BODIES: Bodies = Bodies::new();

#[derive(Debug)]
struct Bodies {
    room: Semaphore,
    waiting: Semaphore,
}

impl Bodies {
    const fn new() -> Bodies {
        Bodies { room: Semaphore::const_new(ROOM), waiting: Semaphore::const_new(MOST_WAITING) }
    }
}

tokio::task_local! {
    /// The request that the current task belongs to.
    static REQUEST: Size;
}

/// Whether a request is large. This becomes known while the request is handled.
#[derive(Debug, Clone, Default)]
pub struct Size(Arc<SizeInner>);

#[derive(Debug, Default)]
struct SizeInner {
    is_large: AtomicBool,
    /// The share of [`BODIES`] that the body holds.
    body: Mutex<Option<SemaphorePermit<'static>>>,
}

/// Too many large bodies are waiting, or one has waited for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Size {
    /// Waits until there is memory for work on a body of so many bytes. The body keeps the memory until [`Size::release_body`],
    /// or until the request and all tasks that it has started are over.
    ///
    /// # Errors
    /// When the wait takes too long, or too many bodies are waiting already.
    pub async fn admit_body(&self, bytes: usize) -> Result<(), TooMany> {
        self.admit_body_to(&BODIES, bytes).await
    }

    async fn admit_body_to(&self, bodies: &'static Bodies, bytes: usize) -> Result<(), TooMany> {
        if bytes <= MOST {
            return Ok(());
        }
        // A body that needs more memory than there is gets all of it.
        let units = u32::try_from(bytes.div_ceil(MOST).min(ROOM)).map_err(|_| TooMany)?;
        let permit = match bodies.room.try_acquire_many(units) {
            Ok(permit) => permit,
            Err(_) => {
                let _place = bodies.waiting.try_acquire().map_err(|_| TooMany)?;
                let waited = timeout(PATIENCE, bodies.room.acquire_many(units)).await;
                waited.map_err(|_| TooMany)?.map_err(|_| TooMany)?
            }
        };
        *self.0.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }

    /// Gives the body's memory back, because the work on it is done. The client may take its time to read the answer.
    pub fn release_body(&self) {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tells that so many bytes are worked on from now on. If these are many, the rest of the request is worked on off the
    /// runtime's threads.
    pub async fn add(&self, bytes: usize) {
        if bytes > MOST && !self.is_large() {
            self.0.is_large.store(true, Ordering::Relaxed);
            // The task continues on another thread.
            tokio::task::yield_now().await;
        }
    }

    fn is_large(&self) -> bool {
        self.0.is_large.load(Ordering::Relaxed)
    }

    /// Wraps `work`, so that it runs off the runtime's threads once the request is large.
    pub fn track<F: Future>(self, work: F) -> TrackedTask<TaskLocalFuture<Size, F>> {
        TrackedTask { work: Box::pin(REQUEST.scope(self.clone(), work)), size: self }
    }

    /// The size of the request that the caller belongs to.
    pub(super) fn of_request() -> Size {
        REQUEST.try_with(Size::clone).unwrap_or_default()
    }
}

/// See [`Size::track`].
pub struct TrackedTask<F> {
    work: Pin<Box<F>>,
    size: Size,
}

impl<F: Future> Future for TrackedTask<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let is_large = self.size.is_large();
        let work = self.work.as_mut();
        if is_large { in_place(|| work.poll(cx)) } else { work.poll(cx) }
    }
}

/// Does work on so many bytes. If these are many, other tasks leave this thread for another one first.
pub fn off_the_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > MOST { in_place(work) } else { work() }
}

fn in_place<T>(work: impl FnOnce() -> T) -> T {
    // Only the multi-threaded runtime has another thread; tests and commands use others.
    let has_threads = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(has_threads, Ok(RuntimeFlavor::MultiThread)) { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// With one thread for tasks, work that occupies it keeps all other tasks waiting; in this test for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_something_large_is_worked_on() {
        tokio::spawn({
            let size = Size::default();
            size.clone().track(async move {
                size.add(MOST + 1).await;
                let (done, other) = mpsc::channel();
                let inner = Size::of_request().track(async move {
                    assert!(Size::of_request().is_large());
                    done.send(()).unwrap();
                });
                tokio::spawn(inner);
                other.recv().unwrap();
            })
        })
        .await
        .unwrap();
        tokio::spawn(async {
            let (done, other) = mpsc::channel();
            tokio::spawn(async move { done.send(()).unwrap() });
            off_the_runtime(MOST + 1, || other.recv().unwrap());
        })
        .await
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_are_worked_on_a_few_at_a_time() {
        let bodies: &'static Bodies = Box::leak(Box::new(Bodies::new()));
        let held = [(); 4].map(|()| Size::default());
        for size in &held {
            assert_eq!(size.admit_body_to(bodies, 32 << 20).await, Ok(()));
        }
        assert_eq!(Size::default().admit_body_to(bodies, 32 << 20).await, Err(TooMany));
        assert_eq!(Size::default().admit_body_to(bodies, 1 << 40).await, Err(TooMany));
        // A small body need not wait. A large one may begin when the work on another is done, though its client still reads.
        assert_eq!(Size::default().admit_body_to(bodies, MOST).await, Ok(()));
        held[0].release_body();
        let next = Size::default();
        assert_eq!(next.admit_body_to(bodies, 32 << 20).await, Ok(()));
        // A task that a request has started counts until it is over.
        let task = next.clone();
        drop(next);
        assert_eq!(Size::default().admit_body_to(bodies, 32 << 20).await, Err(TooMany));
        drop(task);
        drop(held);
        assert_eq!(Size::default().admit_body_to(bodies, 1 << 40).await, Ok(()));
        assert_eq!(Size::default().admit_body_to(bodies, 32 << 20).await, Ok(()));
    }

    #[tokio::test]
    async fn without_another_thread_the_work_is_just_done() {
        let size = Size::default();
        let work = async {
            size.add(MOST + 1).await;
            off_the_runtime(MOST + 1, || 5)
        };
        assert_eq!(size.clone().track(work).await, 5);
    }
}
