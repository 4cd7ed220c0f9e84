// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use crate::images::archive::write::settle_copy;
use crate::images::attempts::{Fenced, fence};
use crate::images::files::publish::{delete_directory, try_move_into_place};
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App, CurrentApp};
use crate::manifest::{Image, Stor, Uuid, View};
use crate::storage::{Asset, Content, IncomingFile, Location, Owner};
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(60);

/// Removes what interrupted uploads left behind, and finishes what they began: at the start, and then once a minute.
#[derive(Debug)]
pub struct Sweep(CurrentApp);

impl Sweep {
    /// A sweep of the storages of `app`.
    pub fn new(app: CurrentApp) -> Sweep {
        Sweep(app)
    }
}

impl Worker for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        let app = self.0.get();
        let swept = sweep(&app, progress).await;
        finish_moves(&app, progress).await?;
        swept?;
        Ok(Next::After(INTERVAL))
    }
}

/// Removes every leftover except files that a record names. These are complete, and are moved to their final places. While the
/// database is not available, complete files stay for the next sweep.
async fn sweep(app: &App, progress: &Progress) -> ApiResult<()> {
    let (mut swept, mut archiving) = (Ok(()), Ok(()));
    let local = &app.storage.local;
    for unfinished in local.incoming_files().await? {
        match unfinished.content.clone() {
            // A file that cannot be judged, moved or removed does not hold up the others.
            Content::File(owner) => swept = swept.and(sweep_file(app, unfinished, &owner).await),
            Content::Part => {
                if let Some(leftover) = local.claim(unfinished).await? {
                    swept = swept.and(local.discard(leftover).await.map_err(ApiError::from));
                }
            }
            Content::Manifest { uuid, version } => {
                // This may fail because the disk is full, or because something else has the file's name.
                if let Some(leftover) = local.claim(unfinished).await? {
                    let settled = settle_copy(app, leftover, uuid, version).await;
                    archiving = archiving.and(settled.map(|is_settled| progress.done(u64::from(is_settled))));
                }
                continue;
            }
        }
        progress.done(1);
    }
    swept.and(archiving)
}

/// Judges a complete file. The locks keep other requests of this process away from the image, and from the UUID that it had
/// before it was renamed.
async fn sweep_file(app: &App, unfinished: IncomingFile, owner: &Owner) -> ApiResult<()> {
    let local = &app.storage.local;
    let former = former_uuid(app, owner.uuid).await?;
    let _sweeping = app.locks.lock_all(former.into_iter().chain([owner.uuid])).await?;
    let Some(leftover) = local.claim(unfinished).await? else { return Ok(()) };
    // This comes before the look at the record: it changes only together with the record.
    let may_come = leftover.shares_its_bytes() || local.has_copy_of(owner.uuid).await?;
    match fence_unless_named(app, owner).await? {
        Fenced::Unneeded(image) => {
            tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
            if image.former_uuid() == former {
                finish_rename(app, &image).await?;
            }
            local.settle_leftover(leftover).await?;
        }
        // A clone or a rename may be under way; its manifest waits to be archived, too. A rename of an image that still has the
        // bytes under its old name waits in the same way, and costs no space.
        Fenced::NoRecord if may_come => {}
        Fenced::NoRecord | Fenced::Written(_) => local.discard(leftover).await?,
    }
    Ok(())
}

async fn former_uuid(app: &App, uuid: Uuid) -> ApiResult<Option<Uuid>> {
    let stored = app.db.get(uuid).await?;
    Ok(stored.and_then(|stored| stored.image.former_uuid()))
}

/// Gives their final names to objects in Manta that have names of their own.
async fn finish_moves(app: &App, progress: &Progress) -> ApiResult<()> {
    if app.storage.manta().is_err() {
        return Ok(());
    }
    for image in app.db.filtered(has_own_names).await? {
        progress.done(1);
        for (index, _) in image.files().iter().enumerate().filter(|(_, file)| file.object.is_some()) {
            try_move_into_place(app, image.uuid(), Asset::File(index)).await;
        }
        if image.icon().is_some_and(|icon| icon.object.is_some()) {
            try_move_into_place(app, image.uuid(), Asset::Icon).await;
        }
    }
    Ok(())
}

fn has_own_names(image: &View) -> bool {
    image.files().iter().any(|file| file.object.is_some())
        || image.icon().is_some_and(|icon| icon.object.is_some())
}

/// Deletes the files under the UUID that the image had before, unless another image has that UUID now. The caller holds the
/// locks of both UUIDs.
async fn finish_rename(app: &App, image: &Image) -> ApiResult<()> {
    let Some(old) = image.former_uuid() else { return Ok(()) };
    let files: Vec<_> =
        locations(image).into_iter().map(|file| Location { uuid: old, object: None, ..file }).collect();
    // The files are looked up before the record, as in every deletion.
    let files = app.storage.prepare_deletion(old, &files).await;
    if app.db.get(old).await?.is_none() {
        let were_in_manta = files.is_in_manta();
        app.storage.delete(files).await?;
        if were_in_manta {
            delete_directory(app, old).await;
        }
    }
    Ok(())
}

/// Fences the image's record, unless the record names the file: the write of an upload or a move that would name the file may
/// reach the database at any later time, and now fails.
async fn fence_unless_named(app: &App, owner: &Owner) -> ApiResult<Fenced> {
    let is_it =
        |file: &Location| file.stor == Stor::Local && (file.asset, &file.sha1) == (owner.asset, &owner.sha1);
    fence(app, owner.uuid, |image| locations(image).iter().any(is_it)).await
}
