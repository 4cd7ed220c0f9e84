use super::{Access, ApiError, ApiResult, App, Code};
use crate::db::Stored;

/// The image, if it exists, is in the channel, and is visible to the caller; 404 in any other case.
pub async fn lookup(app: &App, access: Access) -> ApiResult<Stored> {
    let stored = app.db.get(access.uuid).await?;
    stored
        .filter(|stored| access.channel.is_none_or(|channel| app.is_in_channel(&stored.image, channel)))
        .filter(|stored| access.account.is_none_or(|account| stored.image.is_visible_to(account)))
        .ok_or_else(|| ApiError::image_not_found(access.uuid))
}

/// The same for a caller that must own the image: one that only sees it gets `NotImageOwner`.
pub async fn owned(app: &App, access: Access) -> ApiResult<Stored> {
    let stored = lookup(app, access).await?;
    match access.account {
        Some(account) if stored.image.owner() != account => {
            let message = format!("image {} is not owned by {account}", access.uuid);
            Err(ApiError::new(Code::NotImageOwner, message))
        }
        _ => Ok(stored),
    }
}
