// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Work on large requests and answers, which would keep a runtime thread for longer than other requests should wait.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{block_in_place, futures::TaskLocalFuture};
use tokio::time::timeout;

/// Bytes that are read, checked and rendered within a tenth of a millisecond or so.
const MOST: usize = 16 << 10;

/// Memory of the large bodies that are worked on at a time, in units of [`MOST`].
const ROOM: usize = (128 << 20) / MOST;

/// How long a large body waits for others, and how many may: each is in memory meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_WAITING: usize = 16;

/// The large bodies of this process.
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
    /// The request that this is a part of.
    static REQUEST: Size;
}

/// Whether there is much to do for a request. It is not known from the beginning.
#[derive(Debug, Clone, Default)]
pub struct Size(Arc<SizeInner>);

#[derive(Debug, Default)]
struct SizeInner {
    is_large: AtomicBool,
    /// The part of [`BODIES`] that the body has.
    body: Mutex<Option<SemaphorePermit<'static>>>,
}

/// There are too many large bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Size {
    /// Waits until a body that takes so many bytes of memory may be worked on. It may be until [`Size::release_body`], or until the request and all
    /// tasks that it has left are over.
    ///
    /// # Errors
    /// When that takes too long, or too many wait already.
    pub async fn admit_body(&self, bytes: usize) -> Result<(), TooMany> {
        self.admit_body_to(&BODIES, bytes).await
    }

    async fn admit_body_to(&self, bodies: &'static Bodies, bytes: usize) -> Result<(), TooMany> {
        if bytes <= MOST {
            return Ok(());
        }
        // One that takes more than there is has to have everything.
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

    /// The work on the body is done; a client may take its time to read the answer.
    pub fn release_body(&self) {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Notes that so many bytes are worked on from now on. If these are many, what follows happens off the runtime's
    /// threads.
    pub async fn add(&self, bytes: usize) {
        if bytes > MOST && !self.is_large() {
            self.0.is_large.store(true, Ordering::Relaxed);
            // The thread is another one when the task goes on.
            tokio::task::yield_now().await;
        }
    }

    fn is_large(&self) -> bool {
        self.0.is_large.load(Ordering::Relaxed)
    }

    /// The same work, done off the runtime's threads once it is large.
    pub fn follow<F: Future>(self, work: F) -> Followed<TaskLocalFuture<Size, F>> {
        Followed { work: Box::pin(REQUEST.scope(self.clone(), work)), size: self }
    }

    /// That of the request that the caller is a part of.
    pub(super) fn of_request() -> Size {
        REQUEST.try_with(Size::clone).unwrap_or_default()
    }
}

/// See [`Size::follow`].
pub struct Followed<F> {
    work: Pin<Box<F>>,
    size: Size,
}

impl<F: Future> Future for Followed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let is_large = self.size.is_large();
        let work = self.work.as_mut();
        if is_large { in_place(|| work.poll(cx)) } else { work.poll(cx) }
    }
}

/// Does work on so many bytes; if these are many, the other tasks of this thread go on on another one meanwhile.
pub fn off_the_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > MOST { in_place(work) } else { work() }
}

fn in_place<T>(work: impl FnOnce() -> T) -> T {
    // Other runtimes have no other thread; they are those of tests and of commands.
    let has_threads = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(has_threads, Ok(RuntimeFlavor::MultiThread)) { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One thread for tasks: whatever occupies it keeps all others waiting, for ever in this case.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_something_large_is_worked_on() {
        tokio::spawn({
            let size = Size::default();
            size.clone().follow(async move {
                size.add(MOST + 1).await;
                let (done, other) = mpsc::channel();
                let inner = Size::of_request().follow(async move {
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
        // A small one need not wait; a large one may come when another is done, though its client still reads.
        assert_eq!(Size::default().admit_body_to(bodies, MOST).await, Ok(()));
        held[0].release_body();
        let next = Size::default();
        assert_eq!(next.admit_body_to(bodies, 32 << 20).await, Ok(()));
        // What a request has left behind counts until it is over.
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
        assert_eq!(size.clone().follow(work).await, 5);
    }
}
