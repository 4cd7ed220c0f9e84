// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::ship::{ShipError, Shipped, ship};
use crate::db::Database;
use crate::images::{App, CurrentApp};
use crate::manifest::Uuid;
use crate::storage::{FileId, Spool};
use crate::telemetry::err;
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How long changes are gathered before the archive is shipped. An image seldom changes once: a client that creates one changes
/// it some five times within a second.
const BATCH_DELAY: Duration = Duration::from_secs(2);
/// Manifests that are shipped at the same time. Manta may keep each of them waiting for a minute.
const CONCURRENCY: usize = 16;
/// How long a run waits for the slowest requests. Then they go on beside the next run, which begins after the same time.
const WAITS: Duration = Duration::from_secs(1);
/// So many failures in a row mean that the backend has failed, and not single images.
const FAILURES_IN_A_ROW: usize = 10;

/// Ships the archive of manifests to Manta: at the start, two seconds after a change, and every five minutes, as 4.13.1 does.
///
/// A file in the local archive says that its image has changed. The worker reads the record and ships it as it is now. Then it
/// removes the file, if it is still the file that was there before the record was read. Where the database is local the archive
/// stays, because damaged records are restored from it.
#[derive(Debug)]
pub struct ArchiveShipper {
    current: CurrentApp,
    /// The app that the current unit of work uses.
    app: Arc<App>,
    keeps_files: bool,
    /// Files that stay in the local archive, and whose manifests Manta has.
    settled: HashMap<Uuid, FileId>,
    /// Files that are no manifests and have been logged.
    foreign: HashSet<PathBuf>,
    /// The shipments under way, some of which a former unit of work has begun.
    shipments: JoinSet<Result<Shipped, ShipError>>,
    /// Their images. An image is shipped by one at a time.
    under_way: HashMap<Id, Uuid>,
}

impl ArchiveShipper {
    /// The worker's name, as operators see it.
    pub const NAME: &'static str = "archive";

    /// A worker for the images of `app`, whose files may be in Manta.
    pub fn new(current: CurrentApp) -> ArchiveShipper {
        let app = current.get();
        let keeps_files = matches!(*app.db, Database::Local(_));
        ArchiveShipper {
            current,
            app,
            keeps_files,
            settled: HashMap::new(),
            foreign: HashSet::new(),
            shipments: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// The images whose manifests Manta may not have.
    fn waiting(&mut self, spool: Spool) -> Vec<Uuid> {
        let there: HashMap<_, _> = spool.manifests.into_iter().collect();
        self.settled.retain(|uuid, id| there.get(uuid) == Some(id));
        for path in spool.foreign.difference(&self.foreign) {
            tracing::warn!(path = %path.display(), "a file in the archive of manifests is none");
        }
        self.foreign = spool.foreign;
        let mut waiting: Vec<_> = there.into_keys().filter(|uuid| !self.settled.contains_key(uuid)).collect();
        // In random order, so that images which fail do not hold up the others.
        waiting.shuffle(&mut rand::rng());
        waiting
    }

    /// Gets the current app. What is under way ends if it uses another one, perhaps with another Manta.
    async fn take_app(&mut self) {
        let app = self.current.get();
        if !Arc::ptr_eq(&app, &self.app) {
            self.stop().await;
            self.app = app;
        }
    }

    async fn stop(&mut self) {
        self.shipments.shutdown().await;
        self.under_way.clear();
    }

    /// Begins to ship the manifest of an image. Returns false if it is under way already.
    fn begin(&mut self, uuid: Uuid) -> bool {
        if self.under_way.values().any(|other| *other == uuid) {
            return false;
        }
        let shipment = self.shipments.spawn(ship(Arc::clone(&self.app), uuid, self.keeps_files));
        self.under_way.insert(shipment.id(), uuid);
        true
    }

    /// Waits for the end of a shipment, but only until `limit`, if there is one.
    async fn finished(&mut self, limit: Option<Instant>) -> Option<(Uuid, Result<Shipped, ShipError>)> {
        let finished = self.shipments.join_next_with_id();
        let finished = match limit {
            Some(limit) => timeout_at(limit, finished).await.ok()??,
            None => finished.await?,
        };
        let id = finished.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let uuid = self.under_way.remove(&id)?;
        let shipped =
            finished.map_or_else(|stopped| Err(ShipError::Stopped(uuid, stopped)), |(_, shipped)| shipped);
        Some((uuid, shipped))
    }

    fn settle(&mut self, uuid: Uuid, shipped: Shipped) {
        match shipped {
            Shipped::Before | Shipped::Gone => {}
            Shipped::Kept(id) => drop(self.settled.insert(uuid, id)),
            Shipped::Foreign(file) => {
                tracing::warn!(path = %file.path().display(), "a file in the archive of manifests is none");
                self.settled.insert(uuid, file.id());
            }
        }
    }
}

impl Worker for ArchiveShipper {
    fn name(&self) -> &'static str {
        ArchiveShipper::NAME
    }

    fn batch_delay(&self) -> Duration {
        BATCH_DELAY
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        self.take_app().await;
        let mut waiting = self.waiting(self.app.storage.local.spooled().await?);
        let mut run = Run::new(&waiting, progress);
        let mut limit = None;
        loop {
            while self.under_way.len() < CONCURRENCY
                && let Some(uuid) = waiting.pop()
            {
                run.has_skipped |= !self.begin(uuid);
            }
            if waiting.is_empty() {
                limit.get_or_insert_with(|| Instant::now() + WAITS);
            }
            let Some((uuid, shipped)) = self.finished(limit).await else { break };
            match shipped {
                Ok(shipped) => {
                    run.succeeded(uuid, &shipped);
                    self.settle(uuid, shipped);
                }
                Err(error) => {
                    if let Some(error) = run.failed(uuid, error) {
                        self.stop().await;
                        return Err(error.into());
                    }
                }
            }
        }
        match run.first_failure {
            Some(error) => Err(error.into()),
            None if self.under_way.is_empty() && !run.has_skipped => Ok(Next::After(INTERVAL)),
            None => Ok(Next::After(WAITS)),
        }
    }
}

/// The outcome of a run so far.
struct Run<'a> {
    progress: &'a Progress,
    pending: HashSet<Uuid>,
    /// Whether an image was under way already. A later change of it may be waiting.
    has_skipped: bool,
    first_failure: Option<ShipError>,
    failures_in_a_row: usize,
}

impl Run<'_> {
    fn new<'a>(waiting: &[Uuid], progress: &'a Progress) -> Run<'a> {
        progress.pending(waiting.len() as u64);
        let pending = waiting.iter().copied().collect();
        Run { progress, pending, has_skipped: false, first_failure: None, failures_in_a_row: 0 }
    }

    fn succeeded(&mut self, uuid: Uuid, shipped: &Shipped) {
        self.pending.remove(&uuid);
        self.progress.pending(self.pending.len() as u64);
        self.progress.done(u64::from(matches!(shipped, Shipped::Gone | Shipped::Kept(_))));
        self.failures_in_a_row = 0;
    }

    /// Notes a failure. Returns it if the run has to end.
    fn failed(&mut self, uuid: Uuid, error: ShipError) -> Option<ShipError> {
        self.failures_in_a_row += 1;
        if error.affects_all_images() || self.failures_in_a_row == FAILURES_IN_A_ROW {
            return Some(error);
        }
        tracing::warn!(%uuid, err.json = %err(&error), "a manifest stays in the local archive");
        self.first_failure.get_or_insert(error);
        None
    }
}
