// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Archives the manifest of an image while its record is written.

use std::time::Duration;

use bytes::Bytes;

use crate::db::{DbError, Deletion};
use crate::images::attempts::{Fenced, fence};
use crate::images::{ApiResult, App};
use crate::manifest::{ApiForm, ApiVersion, Image, Record, Uuid, json};
use crate::storage::{ArchiveCopy, Leftover, Version, manifest_md5};
use crate::telemetry::err;

/// After this time the write of a new record has been made, or never will be: Moray's deadlines are seconds.
const PENDING_WRITE_LIMIT: Duration = Duration::from_secs(3600);

/// When the archived copies become durable. A copy survives the death of the process in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum CopySync {
    /// While the record is written, which takes the least time. After a loss of power the archive may lack a version that no
    /// caller has been told of.
    WithWrite,
    /// Before the record is written, because something else depends on the copies: the files of an image that is about to be
    /// created, or the last version of one that is being deleted.
    BeforeWrite,
}

/// Writes records, and archives the versions that the write makes and the last versions of images that it deletes. The caller
/// holds the locks that keep other changes of these images out.
///
/// The copies are made before the write and get their final names after it. If the outcome of the write is unknown, they stay
/// where the sweep finds them.
pub(in crate::images) async fn write_and_archive(
    app: &App,
    versions: &[(&Image, Version)],
    durable: CopySync,
    write: impl Future<Output = Result<(), DbError>>,
) -> ApiResult<Result<(), DbError>> {
    let mut copies = Vec::with_capacity(versions.len());
    for (image, version) in versions {
        match (prepare(app, image, *version, durable).await, version) {
            (Ok(copy), _) => copies.push((image.uuid(), copy)),
            (Err(error), Version::Current) => return Err(error),
            // The caller may be deleting images because the disk is full. Somebody's archive has the version of the last change,
            // and the note of the deletion says that it is the last.
            (Err(error), Version::Last) => failed(image.uuid(), &error),
        }
    }
    copies.iter_mut().for_each(|(_, copy)| copy.keep_on_drop());
    let written = match durable {
        CopySync::BeforeWrite => write.await,
        CopySync::WithWrite => tokio::join!(write, sync_all(&copies)).0,
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

/// The deletion of this version of an image, which tells everybody what the archive's last version is.
pub(in crate::images) fn deletion<'a>(app: &App, image: &Image, etag: &'a str) -> Deletion<'a> {
    let manifest_md5 = text_of(app, image).ok().map(|text| manifest_md5(&text));
    Deletion { uuid: image.uuid(), etag, manifest_md5 }
}

/// The text of an image in the archive.
pub(in crate::images) fn text_of(app: &App, image: &Image) -> ApiResult<Bytes> {
    let form = ApiForm { version: ApiVersion::V2, mode: app.config.mode, admin_fields: false };
    Ok(json::pretty(&image.api(&form))?.into())
}

/// Whether `bytes` are a manifest of this image.
pub(in crate::images) fn is_manifest_of(uuid: Uuid, bytes: &[u8]) -> bool {
    let manifest: Option<Record> = serde_json::from_slice(bytes).ok();
    manifest.is_some_and(|manifest| manifest.get("uuid").is_some_and(|is| *is == uuid.to_string()))
}

async fn prepare(app: &App, image: &Image, version: Version, copies: CopySync) -> ApiResult<ArchiveCopy> {
    let copy = app.storage.local.prepare_archive(image.uuid(), version, text_of(app, image)?).await?;
    if copies == CopySync::BeforeWrite {
        copy.sync().await?;
    }
    Ok(copy)
}

async fn sync_all(copies: &[(Uuid, ArchiveCopy)]) {
    for (uuid, copy) in copies {
        if let Err(error) = copy.sync().await {
            failed(*uuid, &error);
        }
    }
}

/// The record is what counts, so a failure is only logged; the sweep tries again.
async fn commit(app: &App, uuid: Uuid, copy: ArchiveCopy) {
    match copy.commit().await {
        Ok(()) => app.archive.poke(),
        Err(error) => failed(uuid, &error),
    }
}

fn failed(uuid: Uuid, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(%uuid, err.json = %err(error), "error archiving image manifest");
}

/// Finishes the copy that an interrupted write has left: the database says whether that write was made. Returns false if the
/// copy has to stay for now.
pub(in crate::images) async fn settle_copy(
    app: &App,
    leftover: Leftover,
    uuid: Uuid,
    version: Version,
) -> ApiResult<bool> {
    let _changing = app.changes.lock(uuid).await?;
    // The interrupted write may still be made, after the copy was discarded. The fence in the record makes it fail.
    let (Fenced::Written(image) | Fenced::Unneeded(image)) = fence(app, uuid, |_| false).await? else {
        return settle_without_image(app, leftover, uuid, version).await;
    };
    let mut copy = prepare(app, &image, Version::Current, CopySync::BeforeWrite).await?;
    copy.keep_on_drop();
    copy.commit().await?;
    app.archive.poke();
    app.storage.local.discard(leftover).await?;
    Ok(true)
}

/// Settles a copy whose image does not exist, or not yet. It belongs in the archive if it is the version that was deleted: the
/// note of the last deletion says so, or if there is none, the copy itself.
async fn settle_without_image(
    app: &App,
    leftover: Leftover,
    uuid: Uuid,
    version: Version,
) -> ApiResult<bool> {
    if version == Version::Current && !leftover.is_older_than(PENDING_WRITE_LIMIT) {
        // The image is perhaps about to be created.
        return Ok(false);
    }
    let local = &app.storage.local;
    let (leftover, bytes) = local.read_leftover(leftover).await?;
    let is_last = match app.db.last_manifest(uuid).await? {
        Some(md5) => md5 == manifest_md5(&bytes),
        None => version == Version::Last,
    };
    if is_last && is_manifest_of(uuid, &bytes) {
        local.archive_leftover(leftover).await?;
        app.archive.poke();
    } else {
        local.discard(leftover).await?;
    }
    Ok(true)
}
