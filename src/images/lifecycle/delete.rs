// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::config::ChannelId;
use crate::db::Stored;
use crate::images::archive::write::{CopySync, deletion, write_and_archive};
use crate::images::attempts::{Attempts, is_made};
use crate::images::files::publish::delete_directory;
use crate::images::record::channels::without_channel;
use crate::images::record::locations::locations;
use crate::images::record::lookup::{RecordVersion, owned_if};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, run_to_completion};
use crate::manifest::{Image, Uuid};
use crate::storage::{PendingDeletion, Version};
use crate::telemetry::err;

/// Most dependents that an error message names. If there are more, it names only the first few.
const NAMED: usize = 9;
const NAMED_OF_MANY: usize = 5;

/// DeleteImage: deletes the record first, then the files. An image in several channels is only removed from the caller's
/// channel, unless `force_all_channels`.
pub async fn delete(
    app: &Arc<App>,
    access: Access,
    force_all_channels: bool,
    precondition: Precondition,
) -> ApiResult<()> {
    let app = Arc::clone(app);
    let deletion =
        async move { delete_record_and_files(&app, access, force_all_channels, &precondition).await };
    run_to_completion(deletion).await
}

/// Deletes an image from all channels, if the deleted version meets the precondition.
pub(in crate::images) async fn delete_if(
    app: &Arc<App>,
    uuid: Uuid,
    precondition: Precondition,
) -> ApiResult<()> {
    delete(app, Access { uuid, channel: None, account: None }, true, precondition).await
}

/// Deletes an image, for a caller that is not cancelled before this is done.
pub(in crate::images) async fn delete_record_and_files(
    app: &App,
    access: Access,
    force_all_channels: bool,
    precondition: &Precondition,
) -> ApiResult<()> {
    let _deleting = app.locks.lock(access.uuid).await?;
    let _changing = app.changes.lock(access.uuid).await?;
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        let check = |image: &Image| precondition.check(image);
        let (stored, ()) = owned_if(app, access, RecordVersion::of(&attempts), check).await?;
        let several = stored.image.channels().is_some_and(|channels| channels.len() > 1);
        let deleted = match access.channel.filter(|_| several && !force_all_channels) {
            Some(channel) => remove_from_channel(app, &stored, channel, access.account).await?,
            None => delete_record(app, &stored, access.account).await?,
        };
        if deleted {
            return Ok(());
        }
    }
}

/// Deletes the record. Returns false if another process changed it meanwhile.
async fn delete_record(app: &App, stored: &Stored, account: Option<Uuid>) -> ApiResult<bool> {
    let Stored { image, etag } = stored;
    if app.db.known_dependents(stored).await?.is_none_or(|dependents| !dependents.is_empty()) {
        refuse_dependents(app, image.uuid(), account).await?;
    }
    let files = app.storage.prepare_deletion(image.uuid(), &locations(image)).await;
    let old = deletion(app, image, etag);
    let deleted = app.db.delete(&old);
    match write_and_archive(app, &[(image, Version::Last)], CopySync::BeforeWrite, deleted).await? {
        Ok(()) => {
            app.uploads.cancel(image.uuid());
            delete_files(app, image.uuid(), files).await;
            Ok(true)
        }
        failed => Ok(is_made(failed)?),
    }
}

async fn remove_from_channel(
    app: &App,
    Stored { image, etag }: &Stored,
    channel: ChannelId,
    account: Option<Uuid>,
) -> ApiResult<bool> {
    refuse_dependents_in(app, image.uuid(), channel, account).await?;
    let removed = without_channel(app, image, channel)?;
    let written = app.db.replace(&removed, etag);
    Ok(is_made(write_and_archive(app, &[(&removed, Version::Current)], CopySync::WithWrite, written).await?)?)
}

/// Rejects an image on which images of the same channel depend: they need their origins in their channel.
async fn refuse_dependents_in(
    app: &App,
    uuid: Uuid,
    channel: ChannelId,
    account: Option<Uuid>,
) -> ApiResult<()> {
    let mut there = Vec::new();
    for dependent in app.db.dependents(uuid).await? {
        let view = app.db.view(dependent).await?.value;
        if view.is_some_and(|view| app.is_in(Some(channel), view.channels())) {
            there.push(dependent);
        }
    }
    refuse(app, uuid, &there, account).await
}

/// Fails with 422 `ImageHasDependentImages` if other images depend on this one. The caller must already have read the version
/// of the image that it deletes: see [`crate::images::record::origin`].
pub(in crate::images) async fn refuse_dependents(
    app: &App,
    uuid: Uuid,
    account: Option<Uuid>,
) -> ApiResult<()> {
    refuse(app, uuid, &app.db.dependents(uuid).await?, account).await
}

async fn refuse(app: &App, uuid: Uuid, dependents: &[Uuid], account: Option<Uuid>) -> ApiResult<()> {
    if dependents.is_empty() {
        return Ok(());
    }
    let first = if dependents.len() > NAMED { NAMED_OF_MANY } else { NAMED };
    let mut names = Vec::new();
    for dependent in dependents.iter().take(first) {
        // An account learns only about dependents that it may see.
        let is_told = match account {
            None => true,
            Some(account) => {
                app.db.view(*dependent).await?.value.is_some_and(|view| view.is_visible_to(account))
            }
        };
        names.extend(is_told.then(|| dependent.to_string()));
    }
    let mut message = format!("image {uuid} has {} dependent images", dependents.len());
    if !names.is_empty() {
        let more = if names.len() < dependents.len() { ", …" } else { "" };
        message = format!("{message}: {}{more}", names.join(", "));
    }
    Err(ApiError::new(Code::ImageHasDependentImages, message))
}

/// The image is already deleted for every client. A file that stays behind is logged here; the client need not retry.
pub(in crate::images) async fn delete_files(app: &App, uuid: Uuid, files: PendingDeletion) {
    let were_in_manta = files.is_in_manta();
    if let Err(error) = app.storage.delete(files).await {
        tracing::error!(%uuid, err.json = %err(&error), "cannot delete the file of a deleted image");
    } else if were_in_manta {
        delete_directory(app, uuid).await;
    }
}
