use std::sync::Arc;
use std::time::Duration;

use super::change::ATTEMPTS;
use super::delete::local_assets;
use super::{ApiError, ApiResult, App};
use crate::db::{DbError, Stored};
use crate::manifest::Image;
use crate::storage::{Asset, Owner};
use crate::telemetry::err;

const INTERVAL: Duration = Duration::from_secs(60);

/// Removes at the start, and once a minute from then on, what interrupted uploads left behind.
pub async fn sweep_regularly(app: Arc<App>) {
    loop {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(err.json = %err(&error), "cannot sweep up unfinished files");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Removes every leftover but those that a manifest names: these are complete, and go to their final place. When the
/// database is away nothing can be judged, and everything complete stays for the next time.
async fn sweep(app: &App) -> ApiResult<()> {
    for leftover in app.storage.leftovers().await? {
        let Some(owner) = leftover.owner().cloned() else {
            app.storage.discard(leftover).await?;
            continue;
        };
        let _publishing = app.locks.lock(owner.uuid).await?;
        match named_by(app, &owner).await? {
            Naming::Named(image) => {
                tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
                finish_rename(app, &image).await?;
                app.storage.settle_leftover(leftover).await?;
            }
            // A rename may still be on its way: while the image has the bytes under its old name, this one costs nothing.
            Naming::NoImage if leftover.shares_its_bytes() => {}
            Naming::NoImage | Naming::Unnamed => app.storage.discard(leftover).await?,
        }
    }
    Ok(())
}

/// Deletes the files of the UUID that the image had before, unless another image has that UUID by now.
async fn finish_rename(app: &App, image: &Image) -> ApiResult<()> {
    let Some(old) = image.former_uuid() else { return Ok(()) };
    let _deleting = app.locks.lock(old).await?;
    if app.db.get(old).await?.is_none() {
        app.storage.delete(old, local_assets(image)).await?;
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
        if local_assets(&image).contains(&(owner.asset, owner.sha1.clone())) {
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
