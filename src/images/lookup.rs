use std::sync::Arc;

use super::{Access, ApiError, ApiResult, App, Code};
use crate::db::{Found, Stored};
use crate::manifest::View;

/// The image for a read, if it exists and is visible to the caller; 404 in either other case.
pub async fn lookup(app: &App, access: Access) -> ApiResult<Found<Arc<View>>> {
    let found = app.db.view(access.uuid).await?;
    let visible = |view: &Arc<View>| access.account.is_none_or(|account| view.is_visible_to(account));
    match found.value.filter(visible) {
        Some(value) => Ok(Found { value, stale: found.stale }),
        None => Err(ApiError::image_not_found(access.uuid)),
    }
}

/// The record as it is now, for a change: one that the caller does not see is a 404, and one that it only sees is
/// `NotImageOwner`.
pub async fn owned(app: &App, access: Access) -> ApiResult<Stored> {
    let stored = app.db.get(access.uuid).await?.ok_or_else(|| ApiError::image_not_found(access.uuid))?;
    match access.account {
        Some(account) if !stored.image.is_visible_to(account) => Err(ApiError::image_not_found(access.uuid)),
        Some(account) if stored.image.owner() != account => {
            let message = format!("image {} is not owned by {account}", access.uuid);
            Err(ApiError::new(Code::NotImageOwner, message))
        }
        _ => Ok(stored),
    }
}
