use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::add_file::settle;
use super::change::change;
use super::lookup::current;
use super::{Access, ApiError, ApiResult, App, Code, now, owned, to_the_end};
use crate::manifest::{Icon, Image, Stor, Uuid, View};
use crate::storage::{Asset, Digests, ReceiveError, Received};
use crate::telemetry::err;

/// Most bytes of an icon: 128 KiB.
const MAX_ICON_SIZE: u64 = 128 << 10;

/// How often an icon is looked up again because it was replaced between the manifest and the file.
const ATTEMPTS: usize = 5;

/// What the caller of AddImageIcon says about the bytes.
#[derive(Debug, Clone)]
pub struct IconUpload {
    /// Media type, e.g. `image/png`.
    pub content_type: String,
    /// Expected SHA-1 in lower-case hex, compared as text.
    pub sha1: Option<String>,
    /// Announced length in bytes.
    pub length: Option<u64>,
}

/// AddImageIcon: receives, verifies and stores the icon of an image, in the place of an earlier one.
///
/// As with a file nothing is visible before everything is durable, and nothing remains of what fails.
pub async fn add_icon<S, E>(app: &Arc<App>, access: Access, upload: IconUpload, body: S) -> ApiResult<Image>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    if upload.length.is_some_and(|length| length > MAX_ICON_SIZE) {
        return Err(too_large());
    }
    let received = app.storage.receive(upload.length, MAX_ICON_SIZE, body).await.map_err(refused)?;
    verify(&received.digests, &upload)?;
    let icon = entry(&received.digests, upload);
    let app = Arc::clone(app);
    to_the_end(async move { publish(&app, access, received, icon).await }).await
}

async fn publish(app: &App, access: Access, received: Received, icon: Icon) -> ApiResult<Image> {
    let _publishing = app.locks.lock(access.uuid).await?;
    let staged = app.storage.stage(received, access.uuid, Asset::Icon).await?;
    let with_icon = |image: &Image| image.with_icon(&icon).map_err(ApiError::validation);
    settle(staged, change(app, access, with_icon).await).await
}

fn verify(digests: &Digests, upload: &IconUpload) -> ApiResult<()> {
    if digests.size == 0 {
        return Err(ApiError::new(Code::Upload, "the icon is empty"));
    }
    if let Some(length) = upload.length.filter(|length| *length != digests.size) {
        let message = format!("{length} bytes were announced and {} came", digests.size);
        return Err(ApiError::new(Code::Upload, message));
    }
    if let Some(sha1) = upload.sha1.as_ref().filter(|sha1| **sha1 != digests.sha1) {
        let message = format!("the SHA-1 is {}, not {sha1:?}", digests.sha1);
        return Err(ApiError::new(Code::Upload, message));
    }
    Ok(())
}

fn entry(digests: &Digests, upload: IconUpload) -> Icon {
    Icon {
        sha1: digests.sha1.clone(),
        size: digests.size,
        content_type: upload.content_type,
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: Stor::Local,
    }
}

fn too_large() -> ApiError {
    ApiError::new(Code::Upload, format!("an icon may have at most {MAX_ICON_SIZE} bytes"))
}

fn refused<E: Into<ApiError>>(error: ReceiveError<E>) -> ApiError {
    match error {
        ReceiveError::Body(error) => error.into(),
        ReceiveError::TooLarge { .. } => too_large(),
        ReceiveError::Storage(error) => error.into(),
    }
}

/// An icon, open, with what the manifest says about it.
#[derive(Debug)]
pub struct OpenIcon {
    /// The manifest's entry.
    pub entry: Icon,
    /// The bytes.
    pub file: File,
}

/// GetImageIcon: opens the icon of `image`, which the caller has looked up.
pub async fn get_icon(app: &App, access: Access, image: &View) -> ApiResult<OpenIcon> {
    let mut entry = local_icon(access.uuid, image.icon())?.clone();
    for _ in 0..ATTEMPTS {
        let opened = app.storage.open_verified(access.uuid, Asset::Icon, &entry.sha1).await;
        if let Ok(Some(file)) = opened {
            return Ok(OpenIcon { entry, file });
        }
        // It was replaced, perhaps by another process, of which this one hears a little later.
        let current = current(app, access).await?.image;
        let now = local_icon(access.uuid, current.icon())?;
        if now.sha1 == entry.sha1 {
            opened?;
            return Err(ApiError::new(Code::InternalError, "the stored icon is not what its manifest says"));
        }
        entry = now.clone();
    }
    Err(ApiError::new(Code::ServiceUnavailableError, "the icon is being replaced"))
}

/// DeleteImageIcon: the record first, then the file.
pub async fn delete_icon(app: &Arc<App>, access: Access) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let _deleting = app.locks.lock(access.uuid).await?;
        let sha1 = local_icon(access.uuid, owned(&app, access).await?.image.icon())?.sha1.clone();
        let without_icon = |image: &Image| {
            local_icon(access.uuid, image.icon())?;
            image.without_icon().map_err(ApiError::validation)
        };
        let image = change(&app, access, without_icon).await?;
        if let Err(error) = app.storage.delete(access.uuid, vec![(Asset::Icon, sha1)]).await {
            tracing::error!(uuid = %access.uuid, err.json = %err(&error), "cannot delete an icon");
        }
        Ok(image)
    })
    .await
}

fn local_icon(uuid: Uuid, icon: Option<&Icon>) -> ApiResult<&Icon> {
    match icon {
        Some(icon) if icon.stor == Stor::Local => Ok(icon),
        Some(icon) => Err(ApiError::not_stored_here("icon", icon.stor)),
        None => {
            let message = format!("image {uuid} has no icon");
            Err(ApiError::new(Code::ResourceNotFound, message))
        }
    }
}
