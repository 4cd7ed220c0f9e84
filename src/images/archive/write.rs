// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the archive has of an image while its record is written.

use std::time::Duration;

use bytes::Bytes;

use crate::db::{DbError, Stored};
use crate::images::app::ATTEMPTS;
use crate::images::{ApiError, ApiResult, App};
use crate::manifest::{ApiForm, ApiVersion, Image, Record, Uuid, json};
use crate::storage::{Archived, Leftover, Version};
use crate::telemetry::err;

/// The write of a new record has been made after so long, or it never will: Moray has deadlines of seconds.
const MADE_BY_THEN: Duration = Duration::from_secs(3600);

/// When the copies that tell of a write have to be durable. Those of a process that dies are there in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum Copies {
    /// When its caller hears of it, which takes the least time. After a loss of power the archive may lack a version that
    /// nobody has been told of.
    Beside,
    /// Before it is made: because something else depends on them, as the files of an image that is about to come do, or
    /// what is left of one that goes.
    Before,
}

/// Runs a write of records, and lets the archive have the versions that it makes, and the last ones of those that it
/// removes. The caller keeps other changes of these images waiting.
///
/// The copies are there before the write and go to their places after it. If nobody knows whether it was made, they
/// stay where the sweep finds them.
pub(in crate::images) async fn archived(
    app: &App,
    versions: &[(&Image, Version)],
    durable: Copies,
    write: impl Future<Output = Result<(), DbError>>,
) -> ApiResult<Result<(), DbError>> {
    let mut copies = Vec::with_capacity(versions.len());
    for (image, version) in versions {
        match (prepare(app, image, *version, durable).await, version) {
            (Ok(copy), _) => copies.push((image.uuid(), copy)),
            (Err(error), Version::Current) => return Err(error),
            // Whoever deletes something may do so because the disk is full. The archive has it from the last change.
            (Err(error), Version::Last) => failed(image.uuid(), &error),
        }
    }
    copies.iter_mut().for_each(|(_, copy)| copy.record_is_written());
    let written = match durable {
        Copies::Before => write.await,
        Copies::Beside => tokio::join!(write, sync_all(&copies)).0,
    };
    for (uuid, copy) in copies {
        match &written {
            Ok(()) => commit(app, uuid, copy).await,
            Err(DbError::OutcomeUnknown(_)) => drop(copy),
            Err(_) => copy.discard(),
        }
    }
    Ok(written)
}

/// What the archive is to have of an image.
pub(in crate::images) fn text_of(app: &App, image: &Image) -> ApiResult<Bytes> {
    let form = ApiForm { version: ApiVersion::V2, mode: app.config.mode, admin_fields: false };
    Ok(json::pretty(&image.api(&form))?.into())
}

/// Whether these are the bytes of a manifest of this image.
pub(in crate::images) fn is_manifest_of(uuid: Uuid, bytes: &[u8]) -> bool {
    let manifest: Option<Record> = serde_json::from_slice(bytes).ok();
    manifest.is_some_and(|manifest| manifest.get("uuid").is_some_and(|is| *is == uuid.to_string()))
}

async fn prepare(app: &App, image: &Image, version: Version, copies: Copies) -> ApiResult<Archived> {
    let copy = app.storage.local.prepare_archive(image.uuid(), version, text_of(app, image)?).await?;
    if copies == Copies::Before {
        copy.sync().await?;
    }
    Ok(copy)
}

async fn sync_all(copies: &[(Uuid, Archived)]) {
    for (uuid, copy) in copies {
        if let Err(error) = copy.sync().await {
            failed(*uuid, &error);
        }
    }
}

/// The record is what counts, so a failure here is ours to log; the sweep tries again.
async fn commit(app: &App, uuid: Uuid, copy: Archived) {
    match copy.commit().await {
        Ok(()) => app.archive.poke(),
        Err(error) => failed(uuid, &error),
    }
}

fn failed(uuid: Uuid, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(%uuid, err.json = %err(error), "error archiving image manifest");
}

/// Lets the archive have what an interrupted write was to give it, or what is there in its place; whatever was made of
/// that write can be told from the database. False if it is to stay for now.
pub(in crate::images) async fn settle_copy(
    app: &App,
    leftover: Leftover,
    uuid: Uuid,
    version: Version,
) -> ApiResult<bool> {
    let _changing = app.changes.lock(uuid).await?;
    for _ in 0..ATTEMPTS {
        let Some(Stored { image, etag }) = app.db.get(uuid).await? else {
            return settle_without_image(app, leftover, uuid, version).await;
        };
        // The write may still be on its way, and would find an archive that nobody looks after any more.
        match app.db.replace(&image.fenced().map_err(ApiError::validation)?, &etag).await {
            Ok(()) => {
                let mut copy = prepare(app, &image, Version::Current, Copies::Before).await?;
                copy.record_is_written();
                copy.commit().await?;
                app.archive.poke();
                app.storage.local.discard(leftover).await?;
                return Ok(true);
            }
            Err(DbError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict.into())
}

/// The image is not there, or not yet.
async fn settle_without_image(
    app: &App,
    leftover: Leftover,
    uuid: Uuid,
    version: Version,
) -> ApiResult<bool> {
    let local = &app.storage.local;
    if version == Version::Current {
        // Whoever has deleted the image since has archived it. But perhaps it is about to come.
        let is_over = leftover.is_older_than(MADE_BY_THEN);
        if is_over {
            local.discard(leftover).await?;
        }
        return Ok(is_over);
    }
    let (leftover, bytes) = local.read_leftover(leftover).await?;
    if is_manifest_of(uuid, &bytes) {
        local.archive_leftover(leftover).await?;
        app.archive.poke();
    } else {
        local.discard(leftover).await?;
    }
    Ok(true)
}
