use std::sync::Arc;

use super::{Access, ApiError, ApiResult, App, Code};
use crate::db::{Found, Stored};
use crate::manifest::{Image, Uuid, View};

/// The image for a read, if it exists, is in the channel, and is visible to the caller; 404 in any other case.
pub async fn lookup(app: &App, access: Access) -> ApiResult<Found<Arc<View>>> {
    let found = app.db.view(access.uuid).await?;
    let is_shown = |view: &Arc<View>| {
        app.is_in(access.channel, view.channels()) && access.sees(|account| view.is_visible_to(account))
    };
    match found.value.filter(is_shown) {
        Some(value) => Ok(Found { value, stale: found.stale }),
        None => Err(ApiError::image_not_found(access.uuid)),
    }
}

/// The record as it is now, for a change: one that the caller does not see is a 404.
pub(super) async fn current(app: &App, access: Access) -> ApiResult<Stored> {
    let is_shown = |image: &Image| {
        app.is_in(access.channel, image.channels()) && access.sees(|account| image.is_visible_to(account))
    };
    let stored = app.db.get(access.uuid).await?;
    stored.filter(|stored| is_shown(&stored.image)).ok_or_else(|| ApiError::image_not_found(access.uuid))
}

/// The same for a caller that must own the image: one that only sees it gets `NotImageOwner`.
pub async fn owned(app: &App, access: Access) -> ApiResult<Stored> {
    let stored = current(app, access).await?;
    match access.account {
        Some(account) if stored.image.owner() != account => {
            let message = format!("image {} is not owned by {account}", access.uuid);
            Err(ApiError::new(Code::NotImageOwner, message))
        }
        _ => Ok(stored),
    }
}

impl Access {
    /// Whether the caller may see an image that `is_visible_to` the accounts that this says. Operators see all.
    fn sees(&self, is_visible_to: impl Fn(Uuid) -> bool) -> bool {
        self.account.is_none_or(is_visible_to)
    }
}
