// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Takes over the images of `imgapid`, the small image server of github.com/trondn/imgapi, from its data directory.
//!
//! The files get second names (hard links). Then the image's directory is moved aside, so that an image that is deleted later does
//! not come back. Nothing is copied or deleted.

use serde_json::Value;
use time::OffsetDateTime;

use crate::db::DbError;
use crate::images::lifecycle::with_files::store_with_files;
use crate::images::{ApiError, App};
use crate::manifest::create::{CreateContext, CreateError};
use crate::manifest::import::{check_uuid, import};
use crate::manifest::times::iso_millis;
use crate::manifest::{FieldError, Icon, Image, ImageFile, Record, Stor, Uuid};
use crate::storage::{Asset, ImgapidImage, StorageError, Target, Upload};
use crate::telemetry::err;

/// Why an image cannot be taken over. Its directory stays where it is.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    #[error("the manifest is not a JSON object")]
    NoObject(#[source] serde_json::Error),
    #[error(transparent)]
    Rejected(#[from] CreateError),
    #[error("invalid manifest: {}", .0.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>().join(", "))]
    Invalid(Vec<FieldError>),
    #[error("the manifest does not describe the file")]
    NoEntry,
    #[error("the image is active and has no file")]
    NoFile,
    #[error("the file has {size} bytes and the SHA-1 {sha1}, unlike the manifest")]
    Damaged { size: u64, sha1: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the image cannot be stored")]
    Store(#[from] ApiError),
}

/// Takes over all images of `imgapid` in the local base directory. Images that cannot be taken over are logged, and tried again at
/// the next start. Call this before requests are answered.
pub async fn take_over_imgapid(app: &App) {
    let uuids = app.storage.local.imgapid_images().await.unwrap_or_else(|error| {
        tracing::error!(err.json = %err(&error), "the local base directory cannot be read");
        Vec::new()
    });
    let mut failed = 0;
    for uuid in &uuids {
        match take_over(app, *uuid).await {
            Ok(()) => tracing::info!(%uuid, "an image of imgapid has been taken over"),
            Err(error) => {
                failed += 1;
                tracing::error!(%uuid, err.json = %err(&error), "an image of imgapid cannot be taken over");
            }
        }
    }
    if !uuids.is_empty() {
        tracing::info!(images = uuids.len() - failed, failed, "imgapid's directory has been taken over");
    }
}

async fn take_over(app: &App, uuid: Uuid) -> Result<(), TakeOverError> {
    let local = &app.storage.local;
    // The image is there already if the process died before the directory was moved.
    if app.db.get(uuid).await?.is_none() {
        let (image, uploads) = verified(app, uuid, local.imgapid_image(uuid).await?).await?;
        store_with_files(app, &image, uploads).await?;
    }
    Ok(local.put_imgapid_image_aside(uuid).await?)
}

/// Reads the files, compares them with the manifest, and makes the image that names them.
async fn verified(
    app: &App,
    uuid: Uuid,
    ImgapidImage { manifest, file, icon }: ImgapidImage,
) -> Result<(Image, Vec<Upload>), TakeOverError> {
    let manifest: Record = serde_json::from_slice(&manifest).map_err(TakeOverError::NoObject)?;
    let mut image = draft(manifest.clone(), app, uuid)?;
    let (mut uploads, mut published) = (Vec::new(), None);
    let target = |asset| Target { uuid, asset, stor: Stor::Local, replaces: false };
    if let Some(file) = file {
        let upload = app.storage.adopt(file.path, target(Asset::File(0))).await?;
        let entry = file_entry(&manifest, &upload, file.modified)?;
        image = image.with_files(&[entry]).map_err(TakeOverError::Invalid)?;
        published = Some(file.modified);
        uploads.push(upload);
    }
    if let Some((icon, media_type)) = icon {
        let upload = app.storage.adopt(icon.path, target(Asset::Icon)).await?;
        let icon = icon_entry(&upload, media_type, icon.modified);
        image = image.with_icon(&icon).map_err(TakeOverError::Invalid)?;
        uploads.push(upload);
    }
    // EnableImage of imgapid writes the second one.
    if matches!(manifest.get("state").and_then(Value::as_str), Some("active" | "activated")) {
        let published = published.ok_or(TakeOverError::NoFile)?;
        image = image.activate(&iso_millis(published)).map_err(TakeOverError::Invalid)?;
    }
    if manifest.get("disabled") == Some(&Value::Bool(true)) {
        image = image.with_disabled(true).map_err(TakeOverError::Invalid)?;
    }
    Ok((image, uploads))
}

/// Makes the unactivated image, without files. Like every image without an owner it belongs to nobody.
fn draft(mut manifest: Record, app: &App, uuid: Uuid) -> Result<Image, TakeOverError> {
    check_uuid(&manifest, uuid).map_err(|problem| TakeOverError::Invalid(vec![problem]))?;
    for member in ["disabled", "files", "icon"] {
        manifest.shift_remove(member);
    }
    let context = CreateContext { uuid, owner: Some(Uuid::NIL), channel: None, rules: app.rules() };
    Ok(import(manifest, &context)?)
}

fn file_entry(
    manifest: &Record,
    upload: &Upload,
    modified: OffsetDateTime,
) -> Result<ImageFile, TakeOverError> {
    let recorded = manifest.get("files").and_then(|files| ImageFile::read(files.get(0)?));
    let recorded = recorded.ok_or(TakeOverError::NoEntry)?;
    let digests = upload.digests.clone();
    if recorded.sha1 != digests.sha1 || recorded.size != digests.size {
        return Err(TakeOverError::Damaged { size: digests.size, sha1: digests.sha1 });
    }
    Ok(ImageFile {
        content_md5: Some(digests.md5),
        mtime: Some(iso_millis(modified)),
        stor: Stor::Local,
        sha256: Some(digests.sha256),
        object: None,
        ..recorded
    })
}

fn icon_entry(upload: &Upload, media_type: &str, modified: OffsetDateTime) -> Icon {
    let digests = upload.digests.clone();
    Icon {
        sha1: digests.sha1,
        size: digests.size,
        content_type: media_type.to_owned(),
        content_md5: Some(digests.md5),
        mtime: Some(iso_millis(modified)),
        stor: Stor::Local,
        object: None,
    }
}
