// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::publish::{delete_replaced, publish};
use super::reading::{Named, read_named};
use crate::images::record::change::{Changed, change_from};
use crate::images::{
    Access, Announced, ApiError, ApiResult, App, Code, Precondition, checked, now, to_the_end,
};
use crate::manifest::{Icon, Image, Uuid, View};
use crate::storage::{Asset, Digests, Location, ReceiveError, Received, StoredFile, Target};

/// Most bytes of an icon: 128 KiB.
const MAX_ICON_SIZE: u64 = 128 << 10;

/// What the caller of AddImageIcon says about the bytes.
#[derive(Debug, Clone)]
pub struct IconUpload {
    /// Media type, e.g. `image/png`.
    pub content_type: String,
    /// Length and digests.
    pub announced: Announced,
    /// Where the bytes are to go.
    pub target: Target,
}

/// AddImageIcon: receives, verifies and stores the icon of an image, in the place of an earlier one.
///
/// As with a file nothing is visible before everything is durable, and nothing remains of what fails.
pub async fn add_icon<S, E>(app: &Arc<App>, access: Access, upload: IconUpload, body: S) -> ApiResult<Image>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    let length = upload.announced.length;
    if length.is_some_and(|length| length > MAX_ICON_SIZE) {
        return Err(too_large());
    }
    let receive =
        async { app.storage.receive(upload.target, length, MAX_ICON_SIZE, body).await.map_err(refused) };
    let received = app.uploads.while_there(access.uuid, receive).await?;
    verify(&received.digests, &upload)?;
    let icon = entry(&received, upload);
    let app = Arc::clone(app);
    to_the_end(async move {
        let with_icon = |image: &Image| image.with_icon(&icon).map_err(ApiError::validation);
        publish(&app, access, Asset::Icon, received, with_icon).await
    })
    .await
}

fn verify(digests: &Digests, upload: &IconUpload) -> ApiResult<()> {
    if digests.size == 0 {
        return Err(ApiError::new(Code::Upload, "the icon is empty"));
    }
    upload.announced.verify(digests, Code::Upload)
}

fn entry(received: &Received, upload: IconUpload) -> Icon {
    let digests = &received.digests;
    Icon {
        sha1: digests.sha1.clone(),
        size: digests.size,
        content_type: upload.content_type,
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: upload.target.stor,
        object: received.object(),
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

/// An icon that can be read, with what the manifest says about it.
#[derive(Debug)]
pub struct OpenIcon {
    /// The manifest's entry.
    pub entry: Icon,
    /// The bytes.
    pub file: StoredFile,
}

/// GetImageIcon: opens the icon of `image`, which the caller has looked up, and has it read; again if it was replaced or moved
/// meanwhile.
pub async fn get_icon<T, F>(
    app: &App,
    access: Access,
    image: &View,
    read: impl Fn(OpenIcon) -> F,
) -> ApiResult<T>
where
    F: Future<Output = ApiResult<T>>,
{
    let named = |icon: Option<&Icon>| {
        let entry = icon_of(access.uuid, icon)?.clone();
        Ok(Named { location: Location::of_icon(access.uuid, &entry), entry })
    };
    let (first, find) = (named(image.icon())?, |image: &Image| named(image.icon()));
    let read = &read;
    read_named(app, access, first, find, false, |named| async move {
        let file = app.storage.open_verified(&named.location).await?;
        read(OpenIcon { entry: named.entry, file }).await
    })
    .await
}

/// DeleteImageIcon: the record first, then the file.
pub async fn delete_icon(app: &Arc<App>, access: Access) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let _deleting = app.locks.lock(access.uuid).await?;
        let place = |image: &Image| Ok(icon_of(access.uuid, image.icon())?.stor);
        let (_, place) = checked(&app, access, place).await?;
        // An icon that cannot be deleted here is not to be forgotten.
        app.storage.require(place)?;
        let without_icon = |image: &Image| {
            icon_of(access.uuid, image.icon())?;
            image.without_icon().map_err(ApiError::validation)
        };
        let Changed { after, replaced } =
            change_from(&app, access, &Precondition::default(), without_icon).await?;
        delete_replaced(&app, access.uuid, replaced).await;
        Ok(after)
    })
    .await
}

fn icon_of(uuid: Uuid, icon: Option<&Icon>) -> ApiResult<&Icon> {
    icon.ok_or_else(|| ApiError::new(Code::ResourceNotFound, format!("image {uuid} has no icon")))
}
