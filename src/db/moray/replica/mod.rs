// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A replica of the bucket: all its images in memory, kept current.
//!
//! A task loads all rows once. From then on it asks Moray every 350 ms which rows were written since, and which were
//! deleted: a process that deletes an image notes that in a second bucket, in the same transaction. So the changes of
//! other processes are known here within a second, and a round costs Moray next to nothing while nothing changes. While
//! there are no reads either, the task asks every 10 s only, and a read that comes then waits for the next round. The
//! writes of this process are known here as soon as Moray has answered.
//!
//! 4.13.1 writes to the same bucket, but does not note its deletions. So the rows are counted as well, which may take a
//! fiftieth of the time, because Moray reads all rows for it. If the count differs from the number of rows known here,
//! some were deleted, and the task finds out which (`compare`).

mod apply;
mod compare;
mod deletions;
mod freshness;
mod interruption;
mod load;
mod newest;
mod rounds;
mod rows;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use super::PER_SCOPE;
use super::bucket::Bucket;
use crate::db::index::Index;
use crate::db::{Damaged, DbError, ListAnswer, Status, blocking, rendered};
use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, Rules, Uuid, View};
use crate::telemetry::Metrics;

use freshness::State;
pub(super) use freshness::{Freshness, RequestKind};
use rows::{Clock, Key, Rows};

/// How many unknown UUIDs are looked up in Moray at the same time.
const LOOKUPS: usize = 8;
/// How many lists Moray is asked for at the same time during the load, so that the load makes progress, too.
const SEARCHES: usize = 2;

/// The replica, and the task that keeps it current.
#[derive(Debug)]
pub(super) struct Replica {
    shared: Arc<ReplicaInner>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct ReplicaInner {
    bucket: Bucket,
    rules: Rules,
    metrics: Arc<Metrics>,
    /// How long reads may use the replica while Moray is unavailable.
    stale_limit: Duration,
    index: Index,
    /// Locked while `index` is changed, so that both change in the same order.
    rows: Mutex<Rows>,
    clock: Arc<Clock>,
    state: watch::Sender<State>,
    /// The time of the last read or write.
    used: Mutex<Instant>,
    /// Notified when a round is needed.
    wanted: Notify,
    lookups: Semaphore,
    searches: Semaphore,
}

/// A record in the replica.
#[derive(Debug, Clone)]
pub(super) struct KnownRecord {
    /// The stored record.
    pub(super) record: Arc<str>,
    /// The version of the record.
    pub(super) etag: String,
    view: Arc<View>,
}

impl Replica {
    /// Begins to load. Must be called within the runtime.
    pub(super) fn start(
        bucket: Bucket,
        rules: Rules,
        stale_limit: Duration,
        metrics: Arc<Metrics>,
    ) -> Replica {
        let clock = Arc::<Clock>::default();
        let shared = Arc::new(ReplicaInner {
            bucket,
            rules,
            metrics,
            stale_limit,
            index: Index::default(),
            rows: Mutex::new(Rows::new(Arc::clone(&clock))),
            clock,
            state: watch::Sender::new(State::default()),
            used: Mutex::new(Instant::now()),
            wanted: Notify::new(),
            lookups: Semaphore::new(LOOKUPS),
            searches: Semaphore::new(SEARCHES),
        });
        let task = tokio::spawn(rounds::keep(Arc::clone(&shared)));
        Replica { shared, task: Mutex::new(Some(AbortOnDropHandle::new(task))) }
    }

    /// Returns the images, by UUID.
    pub(super) fn index(&self) -> &Index {
        &self.shared.index
    }

    /// Returns the answer to a query from the replica.
    pub(super) async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<ListAnswer, DbError> {
        if let Some(answer) = self.shared.index.answered(query, form) {
            return Ok(answer);
        }
        let (shared, query) = (Arc::clone(&self.shared), query.clone());
        Ok(rendered(query.limit, move || shared.index.list(&query, form, Some(PER_SCOPE))).await??)
    }

    /// Returns the images for which `wanted` holds, once all are loaded.
    pub(super) async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        let mut state = self.shared.state.subscribe();
        state.wait_for(|state| state.is_complete).await.map_err(|stopped| DbError::Failed(stopped.into()))?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.index.filtered(wanted)).await
    }

    /// Returns the record of an image as the last query showed it or this process last wrote it.
    pub(super) fn record(&self, uuid: Uuid) -> Option<KnownRecord> {
        self.shared.known(&Key::Image(uuid))
    }

    /// Returns the UUIDs of the images whose origin is this version of an image; `None` if the replica may not have all of them
    /// yet. A write that names an origin makes the origin another version, so while it is this version there are no others.
    pub(super) async fn dependents(&self, uuid: Uuid, etag: &str) -> Result<Option<Vec<Uuid>>, DbError> {
        let (shared, etag) = (Arc::clone(&self.shared), etag.to_owned());
        blocking(move || {
            let rows = shared.rows();
            let is_known = rows.damaged().is_empty() && rows.is_settled(&Key::Image(uuid), &etag);
            is_known.then(|| shared.index.dependents(uuid))
        })
        .await
    }

    /// Returns whether Moray is known to have an unusable row with this UUID.
    pub(super) fn is_damaged(&self, uuid: Uuid) -> bool {
        self.shared.rows().damaged().contains_key(&Key::Image(uuid))
    }

    /// Returns a permit to look up an unknown UUID; `None` if all permits are taken.
    pub(super) fn lookup_permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.shared.lookups.try_acquire().ok()
    }

    pub(super) fn status(&self) -> Status {
        let state = *self.shared.state.borrow();
        let rows = self.shared.rows();
        let damaged = rows.damaged().iter();
        Status {
            images: state.is_complete.then(|| self.shared.index.len()),
            age: state.confirmed.map(|confirmed| confirmed.elapsed()),
            damaged: damaged
                .map(|(key, reason)| Damaged { name: key.to_string(), reason: reason.clone() })
                .collect(),
        }
    }

    /// Stops the task that keeps the replica current.
    pub(super) fn stop(&self) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl ReplicaInner {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &Key) -> Option<KnownRecord> {
        let Key::Image(uuid) = key else { return None };
        let rows = self.rows();
        let (record, etag) = rows.record(key)?;
        Some(KnownRecord { record, etag: etag.to_owned(), view: self.index.get(*uuid)? })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Each change of a row is complete before anything can panic.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
