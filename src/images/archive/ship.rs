// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rand::seq::SliceRandom;

use super::write::{is_manifest_of, text_of};
use crate::db::{Database, DbError};
use crate::images::attempts::ATTEMPTS;
use crate::images::{ApiError, App, CurrentApp};
use crate::manifest::Uuid;
use crate::storage::{FileId, Occupant, Spool, Spooled, StorageError};
use crate::telemetry::err;
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How long changes are gathered before the archive is shipped. An image seldom changes once: a client that creates one changes
/// it some five times within a second.
const BATCH_DELAY: Duration = Duration::from_secs(2);
/// Manifests that are shipped at the same time.
const CONCURRENCY: usize = 4;
/// So many failures in a row mean that the backend has failed, and not single images.
const FAILURES_IN_A_ROW: usize = 10;
/// The clocks of the processes and of Manta differ by less than this.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10);

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
}

/// Why a manifest was not shipped.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("the image {0} cannot be read")]
    Database(Uuid, #[source] DbError),
    #[error("the manifest of image {0} cannot be archived")]
    Storage(Uuid, #[source] StorageError),
    #[error("the manifest of image {0} cannot be archived")]
    Api(Uuid, #[source] ApiError),
    #[error("the manifest of image {0} is archived by too many at once")]
    Conflict(Uuid),
}

impl ShipError {
    /// Whether the next image would fail in the same way.
    fn affects_all_images(&self) -> bool {
        match self {
            ShipError::Database(_, error) => {
                matches!(error, DbError::Unavailable(_) | DbError::OutcomeUnknown(_))
            }
            ShipError::Storage(_, error) => error.is_away(),
            ShipError::Api(..) | ShipError::Conflict(_) => false,
        }
    }
}

/// The outcome for a file in the local archive.
enum Shipped {
    /// Manta has the image's manifest. The file was removed, or a later change has replaced it.
    Gone,
    /// Manta has the image's manifest, and the file stays.
    Kept(FileId),
    /// The file is no manifest.
    Foreign(Spooled),
}

impl ArchiveShipper {
    /// The worker's name, as operators see it.
    pub const NAME: &'static str = "archive";

    /// A worker for the images of `app`, whose files may be in Manta.
    pub fn new(current: CurrentApp) -> ArchiveShipper {
        let app = current.get();
        let keeps_files = matches!(*app.db, Database::Local(_));
        ArchiveShipper { current, app, keeps_files, settled: HashMap::new(), foreign: HashSet::new() }
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

    fn settle(&mut self, uuid: Uuid, shipped: Shipped) {
        match shipped {
            Shipped::Gone => {}
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
        self.app = self.current.get();
        let spool = self.app.storage.local.spooled().await?;
        let waiting = self.waiting(spool);
        let mut pending = waiting.len() as u64;
        progress.pending(pending);
        let (app, keeps_files) = (Arc::clone(&self.app), self.keeps_files);
        let shipments = waiting.into_iter().map(|uuid| {
            let app = Arc::clone(&app);
            async move { (uuid, ship(&app, uuid, keeps_files).await) }
        });
        let mut shipments = stream::iter(shipments).buffer_unordered(CONCURRENCY);
        let (mut first, mut in_a_row) = (None, 0);
        while let Some((uuid, shipped)) = shipments.next().await {
            match shipped {
                Ok(shipped) => {
                    let is_done = !matches!(shipped, Shipped::Foreign(_));
                    self.settle(uuid, shipped);
                    pending -= 1;
                    progress.pending(pending);
                    progress.done(u64::from(is_done));
                    in_a_row = 0;
                }
                Err(error) => {
                    in_a_row += 1;
                    if error.affects_all_images() || in_a_row == FAILURES_IN_A_ROW {
                        return Err(error.into());
                    }
                    tracing::warn!(%uuid, err.json = %err(&error), "a manifest stays in the local archive");
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) => Err(error.into()),
            None => Ok(Next::After(INTERVAL)),
        }
    }
}

/// Writes the manifest of an image to Manta, and removes its file from the local archive unless `keeps_files`.
async fn ship(app: &App, uuid: Uuid, keeps_files: bool) -> Result<Shipped, ShipError> {
    let storage = |error| ShipError::Storage(uuid, error);
    let (local, manta) = (&app.storage.local, app.storage.manta().map_err(storage)?);
    for _ in 0..ATTEMPTS {
        let Some(file) = local.open_spooled(uuid).await.map_err(storage)? else { return Ok(Shipped::Gone) };
        // The object is looked up before the record is read. A process that replaces the object after this look has read the
        // record later than this one, or the conditional write below fails.
        let there = manta.archive_occupant(uuid).await.map_err(storage)?;
        let manifest = match manifest(app, &file, uuid, &there).await? {
            Manifest::Newer(manifest) => manifest,
            Manifest::Older => return remove(app, file, uuid, keeps_files).await,
            Manifest::None => return Ok(Shipped::Foreign(file)),
        };
        if there.has_bytes(&manifest) || manta.archive(uuid, manifest, there).await.map_err(storage)? {
            return remove(app, file, uuid, keeps_files).await;
        }
    }
    Err(ShipError::Conflict(uuid))
}

/// A manifest, compared with the object in Manta.
enum Manifest {
    /// It belongs in Manta.
    Newer(Bytes),
    /// Manta has a later version.
    Older,
    /// The file is no manifest.
    None,
}

/// The manifest that Manta should have: the image's record, which is read here, or for a deleted image its last archived
/// version.
async fn manifest(app: &App, file: &Spooled, uuid: Uuid, there: &Occupant) -> Result<Manifest, ShipError> {
    let stored = app.db.get(uuid).await.map_err(|error| ShipError::Database(uuid, error))?;
    if let Some(stored) = stored {
        let text = text_of(app, &stored.image).map_err(|error| ShipError::Api(uuid, error))?;
        return Ok(Manifest::Newer(text));
    }
    let bytes = file.bytes().await.map_err(|error| ShipError::Storage(uuid, error))?;
    if !is_manifest_of(uuid, &bytes) {
        return Ok(Manifest::None);
    }
    // Another process may have changed the image later. A process that deletes an image writes its last version, so that file
    // counts. 4.13.1 writes none; then the later of the two versions counts.
    if file.is_last() || there.is_absent() || there.was_there_for(MAX_CLOCK_SKEW, file.written()) {
        return Ok(Manifest::Newer(bytes.into()));
    }
    Ok(Manifest::Older)
}

/// Removes the file of an image that Manta has, unless `keeps_files`, or unless a later change has replaced the file.
async fn remove(app: &App, file: Spooled, uuid: Uuid, keeps_files: bool) -> Result<Shipped, ShipError> {
    if keeps_files {
        return Ok(Shipped::Kept(file.id()));
    }
    let _changing = app.changes.lock(uuid).await.map_err(|error| ShipError::Api(uuid, error))?;
    let removed = app.storage.local.remove_spooled(file).await;
    removed.map_err(|error| ShipError::Storage(uuid, error))?;
    Ok(Shipped::Gone)
}
