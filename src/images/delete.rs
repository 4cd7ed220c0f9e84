use std::sync::Arc;

use super::change::ATTEMPTS;
use super::{Access, ApiError, ApiResult, App, Code, lookup, to_the_end};
use crate::db::{DbError, Stored};
use crate::manifest::{Image, Stor, Uuid};
use crate::storage::Asset;
use crate::telemetry::err;

/// How many dependents an error message names at most; of more, the first few.
const NAMED: usize = 9;
const NAMED_OF_MANY: usize = 5;

/// Deletes an image that no other image has as its origin: the record first, then the file.
pub async fn delete(app: &Arc<App>, access: Access) -> ApiResult<()> {
    let app = Arc::clone(app);
    to_the_end(async move { delete_record_and_files(&app, access).await }).await
}

async fn delete_record_and_files(app: &App, access: Access) -> ApiResult<()> {
    let _deleting = app.locks.lock(access.uuid).await?;
    for _ in 0..ATTEMPTS {
        let Stored { image, etag } = lookup::owned(app, access).await?;
        refuse_dependents(app, access.uuid).await?;
        match app.db.delete(access.uuid, &etag).await {
            Ok(()) => {
                delete_files(app, &image).await;
                return Ok(());
            }
            Err(DbError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict.into())
}

/// 422 `ImageHasDependentImages` for an image that other images need.
pub(super) async fn refuse_dependents(app: &App, uuid: Uuid) -> ApiResult<()> {
    let dependents = app.db.dependents(uuid).await?;
    if dependents.is_empty() {
        return Ok(());
    }
    let named = if dependents.len() > NAMED { NAMED_OF_MANY } else { NAMED };
    let names = dependents.iter().take(named).map(Uuid::to_string).collect::<Vec<_>>().join(", ");
    let more = if dependents.len() > NAMED { ", …" } else { "" };
    let message = format!("image {uuid} has {} dependent images: {names}{more}", dependents.len());
    Err(ApiError::new(Code::ImageHasDependentImages, message))
}

/// The image is gone for everybody by now: a file that stays behind is ours to report, not the client's to repeat.
pub(super) async fn delete_files(app: &App, image: &Image) {
    if let Err(error) = app.storage.delete(image.uuid(), local_assets(image)).await {
        tracing::error!(uuid = %image.uuid(), err.json = %err(&error), "cannot delete the file of a deleted image");
    }
}

/// The image's files in local storage, with their SHA-1s.
pub(super) fn local_assets(image: &Image) -> Vec<(Asset, String)> {
    let files = image.files().iter().enumerate();
    let files = files.map(|(index, file)| (Asset::File(index), file.stor, &file.sha1));
    let icon = image.icon().map(|icon| (Asset::Icon, icon.stor, &icon.sha1));
    let local = files.chain(icon).filter(|(_, stor, _)| *stor == Stor::Local);
    local.map(|(asset, _, sha1)| (asset, sha1.clone())).collect()
}
