use std::time::Duration;

use super::archive::settle_copy;
use super::change::ATTEMPTS;
use super::placing::{locations, move_into_place_or_tell};
use super::{ApiError, ApiResult, App, CurrentApp};
use crate::db::{DbError, Stored};
use crate::manifest::{Image, Stor, View};
use crate::storage::{Asset, Content, Location, Owner};
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
    let mut archiving = Ok(());
    for leftover in app.storage.local.leftovers().await? {
        let owner = match leftover.content.clone() {
            Content::File(owner) => owner,
            Content::Part => {
                app.storage.local.discard(leftover).await?;
                progress.done(1);
                continue;
            }
            Content::Manifest { uuid, version } => {
                // It may fail for want of space, which the others make.
                if archiving.is_ok() {
                    let settled = settle_copy(app, leftover, uuid, version).await;
                    archiving = settled.map(|is_settled| progress.done(u64::from(is_settled)));
                }
                continue;
            }
        };
        progress.done(1);
        let _publishing = app.locks.lock(owner.uuid).await?;
        match named_by(app, &owner).await? {
            Naming::Named(image) => {
                tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
                finish_rename(app, &image).await?;
                app.storage.local.settle_leftover(leftover).await?;
            }
            // A rename may still be on its way: while the image has the bytes under its old name, this one costs nothing.
            Naming::NoImage if leftover.shares_its_bytes() => {}
            Naming::NoImage | Naming::Unnamed => app.storage.local.discard(leftover).await?,
        }
    }
    archiving
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

/// Deletes the files of the UUID that the image had before, unless another image has that UUID by now.
async fn finish_rename(app: &App, image: &Image) -> ApiResult<()> {
    let Some(old) = image.former_uuid() else { return Ok(()) };
    let _deleting = app.locks.lock(old).await?;
    if app.db.get(old).await?.is_none() {
        let files: Vec<_> =
            locations(image).into_iter().map(|file| Location { uuid: old, object: None, ..file }).collect();
        app.storage.delete(old, &files).await?;
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

/// Whether the image's record names the file. When it does not, it never will: the write that would have named it may
/// still be on its way, for as long as the database likes, and is fenced off.
async fn named_by(app: &App, owner: &Owner) -> ApiResult<Naming> {
    for _ in 0..ATTEMPTS {
        let Some(Stored { image, etag }) = app.db.get(owner.uuid).await? else { return Ok(Naming::NoImage) };
        let is_it = |file: &Location| {
            file.stor == Stor::Local && (file.asset, &file.sha1) == (owner.asset, &owner.sha1)
        };
        if locations(&image).iter().any(is_it) {
            return Ok(Naming::Named(Box::new(image)));
        }
        // The write that names a file is of a version from before the activation.
        if image.activated() && owner.asset != Asset::Icon {
            return Ok(Naming::Unnamed);
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
