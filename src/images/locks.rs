use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::{ApiError, ApiResult, Code};
use crate::manifest::Uuid;

/// How long to wait for another request that publishes or deletes the same image.
const PATIENCE: Duration = Duration::from_secs(30);

/// One lock for each image that is being published or deleted, so that the steps of the one do not mix with those of
/// the other within this process. Never held during a transfer.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageLocks(Arc<Locks>);

type Locks = Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>;

/// Holds the lock of an image.
#[derive(Debug)]
pub(super) struct ImageLock {
    uuid: Uuid,
    locks: Arc<Locks>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl ImageLocks {
    /// Waits for the lock of `uuid`; 503 when that takes too long.
    pub(super) async fn lock(&self, uuid: Uuid) -> ApiResult<ImageLock> {
        let mut lock = ImageLock { uuid, locks: Arc::clone(&self.0), guard: None };
        let mutex = Arc::clone(entries(&self.0).entry(uuid).or_default());
        match tokio::time::timeout(PATIENCE, mutex.lock_owned()).await {
            Ok(guard) => {
                lock.guard = Some(guard);
                Ok(lock)
            }
            Err(_) => {
                let message = format!("image {uuid} is being changed by another request");
                Err(ApiError::new(Code::ServiceUnavailableError, message))
            }
        }
    }

    /// The locks of several images, in the one order that keeps two requests from waiting for each other.
    pub(super) async fn lock_all(&self, uuids: impl IntoIterator<Item = Uuid>) -> ApiResult<Vec<ImageLock>> {
        let mut uuids: Vec<_> = uuids.into_iter().collect();
        uuids.sort_unstable();
        uuids.dedup();
        let mut locks = Vec::with_capacity(uuids.len());
        for uuid in uuids {
            locks.push(self.lock(uuid).await?);
        }
        Ok(locks)
    }
}

impl Drop for ImageLock {
    fn drop(&mut self) {
        self.guard = None;
        let mut entries = entries(&self.locks);
        // The last one to leave removes the entry: the map itself holds one reference.
        if entries.get(&self.uuid).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            entries.remove(&self.uuid);
        }
    }
}

fn entries(locks: &Locks) -> MutexGuard<'_, HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>> {
    // The map is consistent between any two statements.
    locks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_image_is_locked_by_one_and_others_are_not() {
        let locks = ImageLocks::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let held = locks.lock(one).await.unwrap();
        drop(locks.lock(other).await.unwrap());
        assert_eq!(locks.lock(one).await.unwrap_err().code(), Code::ServiceUnavailableError);
        drop(held);
        drop(locks.lock(one).await.unwrap());
        assert!(entries(&locks.0).is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let locks = ImageLocks::default();
        let uuid = Uuid::new_v4();
        let held = locks.lock(uuid).await.unwrap();
        let mut waiting = Box::pin(locks.lock(uuid));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        drop(held);
        assert!(entries(&locks.0).is_empty());
    }
}
