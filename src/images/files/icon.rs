// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::publish::{delete_replaced, publish, target};
use super::reading::{OpenedFile, RecordedFile, read_recorded};
use super::receive::{DeclaredContent, receive};
use crate::images::record::change::{Changed, change_from};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, checked, now, run_to_completion};
use crate::manifest::{Icon, Image, Stor, Uuid, View};
use crate::storage::{Asset, Location, Part, Target, Upload};

/// What the caller of AddImageIcon says about the icon.
#[derive(Debug, Clone)]
pub struct IconUpload {
    /// Media type, e.g. `image/png`.
    pub content_type: String,
    /// Expected length and digests.
    pub declared: DeclaredContent,
    /// The storage that an operator asks for.
    pub storage: Option<Stor>,
}

/// AddImageIcon: receives, verifies and stores the icon of `image`, which the caller has looked up, and replaces an earlier
/// icon.
///
/// Nothing is visible before everything is durable, and an upload that fails leaves nothing behind.
pub async fn add_icon<S, E>(
    app: &Arc<App>,
    access: Access,
    image: &Image,
    upload: IconUpload,
    body: S,
) -> ApiResult<Image>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    let target = target(app, image, Asset::Icon, upload.storage);
    let received = receive(app, target, &upload.declared, body).await?;
    let icon = entry(&received, target, upload);
    let app = Arc::clone(app);
    run_to_completion(async move {
        let with_icon = |image: &Image| image.with_icon(&icon).map_err(ApiError::validation);
        publish(&app, access, target.asset, received, with_icon).await
    })
    .await
}

fn entry(received: &Upload, target: Target, upload: IconUpload) -> Icon {
    let digests = &received.digests;
    Icon {
        sha1: digests.sha1.clone(),
        size: digests.size,
        content_type: upload.content_type,
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: target.stor,
        object: received.object(),
    }
}

/// GetImageIcon: opens the icon of `image`, which the caller has looked up; starts over if it was replaced or moved meanwhile.
/// `plan` is explained at [`get_file`](super::get_file::get_file).
pub async fn get_icon<P>(
    app: &App,
    access: Access,
    image: &View,
    plan: impl Fn(&Icon) -> ApiResult<(Part, P)>,
) -> ApiResult<OpenedFile<Icon, P>> {
    let named = |icon: Option<&Icon>| {
        let entry = icon_of(access.uuid, icon)?.clone();
        Ok(RecordedFile { location: Location::of_icon(access.uuid, &entry), entry })
    };
    let (first, find) = (named(image.icon())?, |image: &Image| named(image.icon()));
    let plan = &plan;
    read_recorded(app, access, first, find, false, |RecordedFile { entry, location }| async move {
        let (part, plan) = plan(&entry)?;
        Ok(OpenedFile { file: app.storage.open_verified(&location, part).await?, entry, plan })
    })
    .await
}

/// DeleteImageIcon: updates the record first, then deletes the file.
pub async fn delete_icon(app: &Arc<App>, access: Access) -> ApiResult<Image> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let _deleting = app.locks.lock(access.uuid).await?;
        let place = |image: &Image| Ok(icon_of(access.uuid, image.icon())?.stor);
        let (_, place) = checked(&app, access, place).await?;
        // An icon in a storage that this server lacks cannot be deleted, so the record must keep it.
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
