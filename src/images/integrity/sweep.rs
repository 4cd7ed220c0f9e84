// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use crate::db::{DbError, Stored};
use crate::images::app::ATTEMPTS;
use crate::images::archive::write::settle_copy;
use crate::images::files::publish::{delete_directory, move_into_place_or_tell};
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App, CurrentApp};
use crate::manifest::{Image, Stor, Uuid, View};
use crate::storage::{Asset, Content, Location, Owner, Unfinished};
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(60);

/// Removes at the start, and once a minute from then on, what interrupted uploads left behind, and finishes what they
/// began.
#[derive(Debug)]
pub struct Sweep(CurrentApp);

impl Sweep {
    /// A sweep through the storages of `app`.
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

/// Removes every leftover but those that a manifest names: these are complete, and go to their final place. When the
/// database is away nothing can be judged, and everything complete stays for the next time.
async fn sweep(app: &App, progress: &Progress) -> ApiResult<()> {
    let (mut swept, mut archiving) = (Ok(()), Ok(()));
    let local = &app.storage.local;
    for unfinished in local.unfinished().await? {
        match unfinished.content.clone() {
            // One that cannot be judged, moved or removed is in nobody's way.
            Content::File(owner) => swept = swept.and(sweep_file(app, unfinished, &owner).await),
            Content::Part => {
                if let Some(leftover) = local.claim(unfinished).await? {
                    swept = swept.and(local.discard(leftover).await.map_err(ApiError::from));
                }
            }
            Content::Manifest { uuid, version } => {
                // It may fail for want of space, or because something else is in its place.
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

/// Judges a complete file, while nobody else of this process does something with the image, or with the one that it was
/// before it got another UUID.
async fn sweep_file(app: &App, unfinished: Unfinished, owner: &Owner) -> ApiResult<()> {
    let local = &app.storage.local;
    let former = former_uuid(app, owner.uuid).await?;
    let _sweeping = app.locks.lock_all(former.into_iter().chain([owner.uuid])).await?;
    let Some(leftover) = local.claim(unfinished).await? else { return Ok(()) };
    // Looked at before the record: what it says may change with that of the record only.
    let may_come = leftover.shares_its_bytes() || local.has_copy_of(owner.uuid).await?;
    match named_by(app, owner).await? {
        Naming::Named(image) => {
            tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
            if image.former_uuid() == former {
                finish_rename(app, &image).await?;
            }
            local.settle_leftover(leftover).await?;
        }
        // A clone, or a change of the UUID, may still be on its way: the manifest that is to be archived with it waits as
        // well. So does a rename whose image has the bytes under its old name; this one costs nothing.
        Naming::NoImage if may_come => {}
        Naming::NoImage | Naming::Unnamed => local.discard(leftover).await?,
    }
    Ok(())
}

async fn former_uuid(app: &App, uuid: Uuid) -> ApiResult<Option<Uuid>> {
    let stored = app.db.get(uuid).await?;
    Ok(stored.and_then(|stored| stored.image.former_uuid()))
}

/// Gives objects in Manta that wait for it their final names.
async fn finish_moves(app: &App, progress: &Progress) -> ApiResult<()> {
    if app.storage.manta().is_err() {
        return Ok(());
    }
    for image in app.db.filtered(has_own_names).await? {
        progress.done(1);
        for (index, _) in image.files().iter().enumerate().filter(|(_, file)| file.object.is_some()) {
            move_into_place_or_tell(app, image.uuid(), Asset::File(index)).await;
        }
        if image.icon().is_some_and(|icon| icon.object.is_some()) {
            move_into_place_or_tell(app, image.uuid(), Asset::Icon).await;
        }
    }
    Ok(())
}

fn has_own_names(image: &View) -> bool {
    image.files().iter().any(|file| file.object.is_some())
        || image.icon().is_some_and(|icon| icon.object.is_some())
}

/// Deletes the files of the UUID that the image had before, unless another image has that UUID by now. The caller has the
/// locks of both.
async fn finish_rename(app: &App, image: &Image) -> ApiResult<()> {
    let Some(old) = image.former_uuid() else { return Ok(()) };
    let files: Vec<_> =
        locations(image).into_iter().map(|file| Location { uuid: old, object: None, ..file }).collect();
    // Looked up before the record, as for any deletion.
    let files = app.storage.condemn(old, &files).await;
    if app.db.get(old).await?.is_none() {
        let were_in_manta = files.is_in_manta();
        app.storage.delete(files).await?;
        if were_in_manta {
            delete_directory(app, old).await;
        }
    }
    Ok(())
}

/// What an image's record says about a complete file.
enum Naming {
    /// It is the image's.
    Named(Box<Image>),
    /// It is not, and never will be.
    Unnamed,
    /// There is no such image.
    NoImage,
}

/// Whether the image's record names the file. When it does not, it never will: the write that would have named it, an
/// upload's or a move's, may still be on its way, for as long as the database likes, and is fenced off.
async fn named_by(app: &App, owner: &Owner) -> ApiResult<Naming> {
    for _ in 0..ATTEMPTS {
        let Some(Stored { image, etag }) = app.db.get(owner.uuid).await? else { return Ok(Naming::NoImage) };
        let is_it = |file: &Location| {
            file.stor == Stor::Local && (file.asset, &file.sha1) == (owner.asset, &owner.sha1)
        };
        if locations(&image).iter().any(is_it) {
            return Ok(Naming::Named(Box::new(image)));
        }
        match app.db.replace(&image.fenced().map_err(ApiError::validation)?, &etag).await {
            Ok(()) => return Ok(Naming::Unnamed),
            // Somebody was faster, perhaps that very write.
            Err(DbError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict.into())
}
