use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::manifest::Uuid;

const STRIPES: usize = 64;

/// Locks that keep the steps of publishing a file, and of deleting one, from mixing within this process. Images share
/// them by hash: one lock is held for a few milliseconds only, never during a transfer.
#[derive(Debug)]
pub(super) struct ImageLocks {
    hasher: RandomState,
    stripes: Vec<Mutex<()>>,
}

impl Default for ImageLocks {
    fn default() -> Self {
        let stripes = std::iter::repeat_with(Mutex::default).take(STRIPES).collect();
        ImageLocks { hasher: RandomState::new(), stripes }
    }
}

impl ImageLocks {
    pub(super) async fn lock(&self, uuid: Uuid) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(uuid) % STRIPES as u64;
        self.stripes[stripe as usize].lock().await
    }
}
