use std::sync::Arc;
use std::time::Duration;

use super::{ApiResult, App};
use crate::manifest::Stor;
use crate::storage::Owner;
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
        if is_named(app, &owner).await? {
            tracing::info!(uuid = %owner.uuid, "taking up an image file whose upload was interrupted");
            app.storage.settle_leftover(leftover).await?;
        } else {
            app.storage.discard(leftover).await?;
        }
    }
    Ok(())
}

async fn is_named(app: &App, owner: &Owner) -> ApiResult<bool> {
    let stored = app.db.get(owner.uuid).await?;
    let image = stored.map(|stored| stored.image);
    let entry = image.as_ref().and_then(|image| image.files().get(owner.index));
    Ok(entry.is_some_and(|entry| entry.stor == Stor::Local && entry.sha1 == owner.sha1))
}
