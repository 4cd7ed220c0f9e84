use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AuthError;

/// How long a request waits for its turn.
const QUEUE_TIME: Duration = Duration::from_secs(10);

/// Cryptography off the runtime's threads, as much at a time as there are processors: so it takes bounded memory, and
/// strangers who send wrong passwords do not occupy the threads that others need.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get))))
    }
}

impl Turns {
    /// Runs `work` when it is its turn; `Busy` when that takes too long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let turn = timeout(QUEUE_TIME, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(AuthError::Busy) };
        let done = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, whether or not somebody still waits for it.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| AuthError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so() {
        let semaphore = Arc::new(Semaphore::new(1));
        let turns = Turns(Arc::clone(&semaphore));
        let turn = semaphore.acquire().await.unwrap();
        assert!(matches!(turns.run(|| ()).await, Err(AuthError::Busy)));
        drop(turn);
        turns.run(|| ()).await.unwrap();
    }
}
