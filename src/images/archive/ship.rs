// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ships the manifest of one image to Manta.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinError;

use super::write::{is_manifest_of, text_of};
use crate::db::DbError;
use crate::images::attempts::ATTEMPTS;
use crate::images::{ApiError, App};
use crate::manifest::Uuid;
use crate::storage::{FileId, Occupant, Spooled, StorageError, manifest_md5};

/// The clocks of the processes and of Manta differ by less than this.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10);

/// Why a manifest was not shipped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShipError {
    #[error("the image {0} cannot be read")]
    Database(Uuid, #[source] DbError),
    #[error("the manifest of image {0} cannot be archived")]
    Storage(Uuid, #[source] StorageError),
    #[error("the manifest of image {0} cannot be archived")]
    Api(Uuid, #[source] ApiError),
    #[error("the manifest of image {0} is archived by too many at once")]
    Conflict(Uuid),
    #[error("the shipment of image {0} was stopped")]
    Stopped(Uuid, #[source] JoinError),
}

impl ShipError {
    /// Whether the next image would fail in the same way.
    pub(super) fn affects_all_images(&self) -> bool {
        match self {
            ShipError::Database(_, error) => {
                matches!(error, DbError::Unavailable(_) | DbError::OutcomeUnknown(_))
            }
            ShipError::Storage(_, error) => error.is_away(),
            ShipError::Api(..) | ShipError::Conflict(_) | ShipError::Stopped(..) => false,
        }
    }
}

/// The outcome for a file in the local archive.
pub(super) enum Shipped {
    /// Another run has shipped the manifest, and there is no file any more.
    Before,
    /// Manta has the image's manifest. The file was removed, or a later change has replaced it.
    Gone,
    /// Manta has the image's manifest, and the file stays.
    Kept(FileId),
    /// The file is no manifest.
    Foreign(Spooled),
}

/// Writes the manifest of an image to Manta, and removes its file from the local archive unless `keeps_files`.
pub(super) async fn ship(app: Arc<App>, uuid: Uuid, keeps_files: bool) -> Result<Shipped, ShipError> {
    let app = &*app;
    let storage = |error| ShipError::Storage(uuid, error);
    let (local, manta) = (&app.storage.local, app.storage.manta().map_err(storage)?);
    for _ in 0..ATTEMPTS {
        let Some(file) = local.open_spooled(uuid).await.map_err(storage)? else { return Ok(Shipped::Before) };
        // The object is looked up before the record is read. A process that replaces the object after this look has read the
        // record later than this one, or the conditional write below fails.
        let there = manta.archive_occupant(uuid).await.map_err(storage)?;
        let manifest = match manifest(app, &file, uuid, &there, keeps_files).await? {
            Manifest::Newer(manifest) => manifest,
            Manifest::Older => return remove(app, file, uuid, keeps_files).await,
            Manifest::None => return Ok(Shipped::Foreign(file)),
        };
        if there.has_md5(&manifest_md5(&manifest))
            || manta.archive(uuid, manifest, there).await.map_err(storage)?
        {
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
async fn manifest(
    app: &App,
    file: &Spooled,
    uuid: Uuid,
    there: &Occupant,
    keeps_files: bool,
) -> Result<Manifest, ShipError> {
    let database = |error| ShipError::Database(uuid, error);
    if let Some(stored) = app.db.get(uuid).await.map_err(database)? {
        let text = text_of(app, &stored.image).map_err(|error| ShipError::Api(uuid, error))?;
        return Ok(Manifest::Newer(text));
    }
    // This is read after the object was looked up, as a record is.
    let deleted = app.db.last_manifest(uuid).await.map_err(database)?;
    let bytes = file.bytes().await.map_err(|error| ShipError::Storage(uuid, error))?;
    if !is_manifest_of(uuid, &bytes) {
        return Ok(Manifest::None);
    }
    // If it keeps the files, no other process changes the images.
    let is_newer = keeps_files || is_newer(file, &manifest_md5(&bytes), there, deleted.as_deref());
    Ok(if is_newer { Manifest::Newer(bytes.into()) } else { Manifest::Older })
}

/// Returns whether a file with this MD5 is a later version of a deleted image than the object, by what the last deletion has
/// noted. Other processes may have changed or deleted the image later than the file says.
fn is_newer(file: &Spooled, md5: &str, there: &Occupant, deleted: Option<&str>) -> bool {
    if deleted == Some(md5) || there.is_absent() {
        return true;
    }
    if deleted.is_some_and(|deleted| there.has_md5(deleted)) {
        return false;
    }
    // Without a note, as after a deletion by 4.13.1, the later of the two counts. If there is one, it does not matter what is
    // shipped now, because another file has the noted version.
    match file.is_last() {
        true => !there.came_after(MAX_CLOCK_SKEW, file.written()),
        false => there.was_there_for(MAX_CLOCK_SKEW, file.written()),
    }
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
