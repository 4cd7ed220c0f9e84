//! What the origin of an image must be.

use super::{ApiError, ApiResult, App, Code};
use crate::manifest::create::{NoSuchOrigin, requested_origin};
use crate::manifest::{FieldError, Image, Record, Uuid};

/// Longest chain of origins that is followed, as in 4.13.1.
pub(super) const MAX_CHAIN: usize = 100;

/// An origin that a manifest names must exist here. Its state, owner and visibility do not matter, as in 4.13.1.
pub(super) async fn refuse_unknown_origin(app: &App, manifest: &Record) -> ApiResult<()> {
    match requested_origin(manifest).map_err(no_such_origin)? {
        Some(origin) => existing(app, origin).await.map(drop),
        None => Ok(()),
    }
}

/// The same for the origin that an update gives an image; in addition the image must not become an origin of itself.
pub(super) async fn refuse_bad_origin(app: &App, image: &Image, updated: &Image) -> ApiResult<()> {
    if updated.origin() == image.origin() {
        return Ok(());
    }
    let mut next = updated.origin();
    for _ in 0..MAX_CHAIN {
        let Some(origin) = next else { return Ok(()) };
        if origin == image.uuid() || origin == updated.uuid() {
            let message = "the image would be an origin of itself";
            return Err(ApiError::validation(vec![FieldError::invalid("origin").because(message)]));
        }
        let first = next == updated.origin();
        next = match existing(app, origin).await {
            Ok(origin) => origin.origin(),
            // Further up the chain nothing changes.
            Err(error) if !first && error.code() == Code::OriginDoesNotExist => None,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

async fn existing(app: &App, origin: Uuid) -> ApiResult<Image> {
    let stored = app.db.get(origin).await?;
    stored.map(|stored| stored.image).ok_or_else(|| no_such_origin(NoSuchOrigin(origin.to_string())))
}

/// 422 for an origin that must be active and is not.
pub(super) fn not_active(origin: Uuid) -> ApiError {
    ApiError::new(Code::OriginIsNotActive, format!("origin image {origin} is not active"))
}

fn no_such_origin(error: NoSuchOrigin) -> ApiError {
    ApiError::new(Code::OriginDoesNotExist, error.to_string())
}
