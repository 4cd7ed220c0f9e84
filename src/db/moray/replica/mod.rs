// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All images of the bucket in memory, kept as they are in Moray.
//!
//! A task loads all rows once, and from then on asks every 350 ms which rows were written since, and which were deleted:
//! whoever deletes an image notes that in a second bucket, in the same transaction. So what other processes do is known
//! here within a second, and costs Moray next to nothing while nobody does anything. While nobody reads either, it asks
//! every 10 s only, and a read that comes then waits for it to ask again. What this process writes is known here when
//! Moray has answered.
//!
//! 4.13.1 writes to the same bucket as we do, but notes no deletions. So the rows are counted, too, for a fiftieth of the
//! time: Moray reads all of them for that. If it is another number than here, somebody has deleted some,
//! and the task finds out which (`compare`).

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
pub(super) use freshness::{Freshness, Question};
use rows::{Clock, Key, Rows};

/// UUIDs that nobody knows and that are looked for in Moray at the same time.
const LOOKUPS: usize = 8;
/// Lists that Moray is asked for at the same time while everything is loaded, so that the load gets its turn, too.
const SEARCHES: usize = 2;

/// The replica, and what keeps it.
#[derive(Debug)]
pub(super) struct Replica {
    shared: Arc<ReplicaInner>,
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct ReplicaInner {
    bucket: Bucket,
    rules: Rules,
    metrics: Arc<Metrics>,
    /// How long reads may go on while Moray is away.
    stale_limit: Duration,
    index: Index,
    /// Held while `index` is changed, so that both change in the same order.
    rows: Mutex<Rows>,
    clock: Arc<Clock>,
    state: watch::Sender<State>,
    /// Since when nobody has read or written.
    used: Mutex<Instant>,
    /// Told when somebody needs a round.
    wanted: Notify,
    lookups: Semaphore,
    searches: Semaphore,
}

/// A record that is known here.
#[derive(Debug, Clone)]
pub(super) struct KnownRecord {
    /// As it is stored.
    pub(super) record: Arc<str>,
    /// The version.
    pub(super) etag: String,
    view: Arc<View>,
}

impl Replica {
    /// Begins to load. To be called within the runtime.
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
        let keeper = tokio::spawn(rounds::keep(Arc::clone(&shared)));
        Replica { shared, keeper: Mutex::new(Some(AbortOnDropHandle::new(keeper))) }
    }

    /// The images, by UUID.
    pub(super) fn index(&self) -> &Index {
        &self.shared.index
    }

    /// The answer to a query from the images here.
    pub(super) async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<ListAnswer, DbError> {
        if let Some(answer) = self.shared.index.answered(query, form) {
            return Ok(answer);
        }
        let (shared, query) = (Arc::clone(&self.shared), query.clone());
        Ok(rendered(move || shared.index.list(&query, form, Some(PER_SCOPE))).await??)
    }

    /// The images here of which `wanted` holds, when all are here.
    pub(super) async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        let mut state = self.shared.state.subscribe();
        state.wait_for(|state| state.is_complete).await.map_err(|stopped| DbError::Failed(stopped.into()))?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.index.filtered(wanted)).await
    }

    /// The record of an image as it was when the last query showed it, or a write of this process was answered.
    pub(super) fn record(&self, uuid: Uuid) -> Option<KnownRecord> {
        self.shared.known(&Key::Image(uuid))
    }

    /// UUIDs of the images whose origin is this version of an image; `None` if others may be on their way here. Whoever names an
    /// origin makes it another version, so there are no others while it is this one.
    pub(super) async fn dependents(&self, uuid: Uuid, etag: &str) -> Result<Option<Vec<Uuid>>, DbError> {
        let (shared, etag) = (Arc::clone(&self.shared), etag.to_owned());
        blocking(move || {
            let rows = shared.rows();
            let is_known = rows.damaged().is_empty() && rows.is_settled(&Key::Image(uuid), &etag);
            is_known.then(|| shared.index.dependents(uuid))
        })
        .await
    }

    /// Whether Moray is known to have a row of this UUID that cannot be used.
    pub(super) fn is_damaged(&self, uuid: Uuid) -> bool {
        self.shared.rows().damaged().contains_key(&Key::Image(uuid))
    }

    /// A place among those who look for an unknown UUID; `None` when all are taken.
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

    /// Keeps it no more.
    pub(super) fn stop(&self) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        // Each change of a row is complete before anything can fail.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
