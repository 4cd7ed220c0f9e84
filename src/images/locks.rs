// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Locks that keep those requests of this process apart that work on the same image.
//!
//! There are four kinds of locks. Each image has one of each kind:
//!
//! | [`Kind`] | Held while | Never while |
//! | --- | --- | --- |
//! | `Fetches` | an image is fetched from a server of another kind | |
//! | `Moves` | an object is copied to its final name in Manta | |
//! | `Files` | a file of the image is added, linked, moved, deleted or swept up | a whole file is copied or received |
//! | `Record` | the record is written | the same |
//!
//! A task that needs several locks takes them in this order of kinds. Locks of one kind are taken in the order of the UUIDs,
//! with [`ImageLocks::lock_all`]. A build with debug assertions panics where a task takes a lock after one of a later kind, or
//! one that it already holds: it would wait for itself, or two tasks for each other.
//!
//! The locks do not protect against other processes. Conditional writes do, of the record and in Manta: see
//! `docs/architecture.md`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::Uuid;

/// How long a request waits for another one that works on the same image.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a lock protects, in the order in which the locks are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Images that are fetched from servers of other kinds.
    Fetches,
    /// Objects that are copied to their final names.
    Moves,
    /// Files of an image.
    Files,
    /// The record of an image.
    Record,
}

/// The locks of one kind, one for each image.
#[derive(Debug, Clone)]
pub(super) struct ImageLocks {
    #[cfg_attr(
        not(debug_assertions),
        expect(dead_code, reason = "only builds with debug assertions look at the order")
    )]
    kind: Kind,
    locks: Arc<Locks>,
}

type Locks = Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>;

/// Holds the lock of an image until it is dropped.
#[derive(Debug)]
pub(super) struct ImageLock {
    uuid: Uuid,
    locks: Arc<Locks>,
    guard: Option<OwnedMutexGuard<()>>,
    #[cfg(debug_assertions)]
    _held: order::Held,
}

impl ImageLocks {
    pub(super) fn new(kind: Kind) -> ImageLocks {
        ImageLocks { kind, locks: Arc::default() }
    }

    /// Waits for the lock of `uuid`; 503 when that takes too long.
    pub(super) async fn lock(&self, uuid: Uuid) -> ApiResult<ImageLock> {
        tokio::time::timeout(PATIENCE, self.wait(uuid)).await.map_err(|_| {
            let message = format!("image {uuid} is being changed by another request");
            ApiError::new(Code::ServiceUnavailableError, message)
        })
    }

    /// Waits for the lock of `uuid`, however long that takes.
    pub(super) async fn wait(&self, uuid: Uuid) -> ImageLock {
        #[cfg(debug_assertions)]
        let _held = order::Held::new(self.kind, uuid);
        let mut lock = ImageLock {
            uuid,
            locks: Arc::clone(&self.locks),
            guard: None,
            #[cfg(debug_assertions)]
            _held,
        };
        let mutex = Arc::clone(entries(&self.locks).entry(uuid).or_default());
        lock.guard = Some(mutex.lock_owned().await);
        lock
    }

    /// Takes the locks of several images, in the one order that keeps two requests from waiting for each other.
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
        // The last holder removes the entry. The map itself holds one reference.
        if entries.get(&self.uuid).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            entries.remove(&self.uuid);
        }
    }
}

fn entries(locks: &Locks) -> MutexGuard<'_, HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>> {
    // The map is consistent between any two statements.
    locks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Knows which locks each task holds or waits for.
#[cfg(debug_assertions)]
mod order {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use tokio::task::Id;

    use super::Kind;
    use crate::manifest::Uuid;

    type LockId = (Kind, Uuid);

    static HELD: LazyLock<Mutex<HashMap<Id, Vec<LockId>>>> = LazyLock::new(Mutex::default);

    /// A lock of a task.
    #[derive(Debug)]
    pub(super) struct Held(Option<(Id, LockId)>);

    impl Held {
        /// Notes that the current task takes a lock, whose kind must not be earlier than the kinds of the locks it holds.
        pub(super) fn new(kind: Kind, uuid: Uuid) -> Held {
            let Some(task) = tokio::task::try_id() else { return Held(None) };
            let lock = (kind, uuid);
            let mut held = held();
            let locks = held.entry(task).or_default();
            // A task may hold several locks of one kind: its parts may run at the same time.
            let is_in_order = locks.iter().all(|before| before.0 <= kind && *before != lock);
            debug_assert!(is_in_order, "{lock:?} is locked behind {locks:?}");
            locks.push(lock);
            Held(Some((task, lock)))
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let Some((task, lock)) = self.0 else { return };
            let mut held = held();
            if let Some(locks) = held.get_mut(&task) {
                locks.retain(|other| *other != lock);
                if locks.is_empty() {
                    held.remove(&task);
                }
            }
        }
    }

    fn held() -> MutexGuard<'static, HashMap<Id, Vec<LockId>>> {
        HELD.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_image_is_locked_by_one_and_others_are_not() {
        let locks = ImageLocks::new(Kind::Files);
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let held = locks.lock(one).await.unwrap();
        drop(locks.lock(other).await.unwrap());
        assert_eq!(locks.lock(one).await.unwrap_err().code(), Code::ServiceUnavailableError);
        drop(held);
        drop(locks.lock(one).await.unwrap());
        assert!(entries(&locks.locks).is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let locks = ImageLocks::new(Kind::Files);
        let uuid = Uuid::new_v4();
        let held = locks.lock(uuid).await.unwrap();
        let mut waiting = Box::pin(locks.lock(uuid));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        drop(held);
        assert!(entries(&locks.locks).is_empty());
    }

    fn in_order() -> [Uuid; 2] {
        let mut uuids = [Uuid::new_v4(), Uuid::new_v4()];
        uuids.sort_unstable();
        uuids
    }

    #[tokio::test]
    async fn several_are_locked_in_one_order_and_once() {
        let locks = ImageLocks::new(Kind::Files);
        let [one, other] = in_order();
        for uuids in [[one, other], [other, one]] {
            let held = tokio::spawn({
                let locks = locks.clone();
                async move { locks.lock_all(uuids).await.unwrap() }
            });
            assert_eq!(held.await.unwrap().iter().map(|lock| lock.uuid).collect::<Vec<_>>(), [one, other]);
        }
        assert_eq!(locks.lock_all([one, one]).await.unwrap().len(), 1);
    }

    #[cfg(debug_assertions)]
    #[tokio::test]
    async fn another_order_is_noticed_before_anybody_waits() {
        let (files, record) = (ImageLocks::new(Kind::Files), ImageLocks::new(Kind::Record));
        let [one, other] = [Uuid::new_v4(), Uuid::new_v4()];
        let takes = async |first: (&ImageLocks, Uuid), then: (&ImageLocks, Uuid)| {
            let (first, then) = ((first.0.clone(), first.1), (then.0.clone(), then.1));
            let task = async move {
                let _first = first.0.lock(first.1).await.unwrap();
                drop(then.0.lock(then.1).await.unwrap());
            };
            tokio::spawn(task).await.is_ok()
        };
        assert!(takes((&files, one), (&record, one)).await);
        assert!(takes((&files, one), (&files, other)).await);
        assert!(!takes((&record, one), (&files, other)).await);
        assert!(!takes((&record, one), (&record, one)).await);
    }
}
