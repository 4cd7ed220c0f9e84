use std::sync::Arc;
use std::time::Duration;

use super::{ApiError, ApiResult, App};
use crate::db::{DbError, Stored};
use crate::manifest::{ImageFile, Stor};
use crate::storage::Owner;
use crate::telemetry::err;

const INTERVAL: Duration = Duration::from_secs(60);

/// How often a record is read again because it changed meanwhile.
const ATTEMPTS: usize = 20;

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
        if is_named(app, &owner).await? {
            tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
            app.storage.settle_leftover(leftover).await?;
        } else {
            app.storage.discard(leftover).await?;
        }
    }
    Ok(())
}

/// Whether the image's record names the file. When it does not, it never will: the write that would have named it may
/// still be on its way, for as long as the database likes, and is fenced off.
async fn is_named(app: &App, owner: &Owner) -> ApiResult<bool> {
    for _ in 0..ATTEMPTS {
        let Some(Stored { image, etag }) = app.db.get(owner.uuid).await? else { return Ok(false) };
        let names = |file: &ImageFile| file.stor == Stor::Local && file.sha1 == owner.sha1;
        if image.files().get(owner.index).is_some_and(names) {
            return Ok(true);
        }
        // The write names a version from before the activation.
        if image.activated() {
            return Ok(false);
        }
        match app.db.replace(&image.fenced().map_err(ApiError::validation)?, &etag).await {
            Ok(()) => return Ok(false),
            // Somebody was faster, perhaps that very write.
            Err(DbError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict.into())
}
