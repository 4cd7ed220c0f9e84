//! Work on large requests and answers, which would keep a runtime thread for longer than other requests should wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{block_in_place, futures::TaskLocalFuture};

/// Bytes that are read, checked and rendered within a tenth of a millisecond or so.
const MOST: usize = 16 << 10;

tokio::task_local! {
    /// The request that this is a part of.
    static REQUEST: Size;
}

/// Whether there is much to do for a request. It is not known from the beginning.
#[derive(Debug, Clone, Default)]
pub struct Size(Arc<AtomicBool>);

impl Size {
    /// Notes that so many bytes are worked on from now on. If these are many, what follows happens off the runtime's
    /// threads.
    pub async fn add(&self, bytes: usize) {
        if bytes > MOST && !self.is_large() {
            self.0.store(true, Ordering::Relaxed);
            // The thread is another one when the task goes on.
            tokio::task::yield_now().await;
        }
    }

    fn is_large(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
