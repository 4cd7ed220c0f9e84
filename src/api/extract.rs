//! Extractors that answer, once for every route, what is the same for all routes of an image.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::AppState;
use super::context::Context;
use crate::images::{self, Access, ApiError, Code};
use crate::manifest::{Image, Uuid};

/// The image that the path names, visible to the caller: 404 otherwise.
#[derive(Debug)]
pub(super) struct VisibleImage {
    pub(super) access: Access,
    pub(super) image: Image,
}

/// The same for routes that change the image: 422 `NotImageOwner` for an account that only sees it.
#[derive(Debug)]
pub(super) struct OwnedImage {
    pub(super) access: Access,
    pub(super) image: Image,
}

impl FromRequestParts<AppState> for VisibleImage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let access = access(parts, state).await?;
        let context = Context::from_request_parts(parts, state).await?;
        VisibleImage::find(access, &context, state).await
    }
}

impl VisibleImage {
    async fn find(access: Access, context: &Context, state: &AppState) -> Result<Self, ApiError> {
        let image = images::lookup(state.app(), access).await?.image;
        if context.sees_active_only(state) && !image.is_active() {
            return Err(ApiError::image_not_found(access.uuid));
        }
        Ok(VisibleImage { access, image })
    }
}

impl FromRequestParts<AppState> for OwnedImage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let access = access(parts, state).await?;
        OwnedImage::find(access, state).await
    }
}

impl OwnedImage {
    async fn find(access: Access, state: &AppState) -> Result<Self, ApiError> {
        let image = images::owned(state.app(), access).await?.image;
        Ok(OwnedImage { access, image })
    }
}

/// The UUID that the path names, for a route that has something else to check before it looks for the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageUuid(pub(super) Uuid);

impl ImageUuid {
    /// The rest of what [`VisibleImage`] does.
    pub(super) async fn visible(self, context: &Context, state: &AppState) -> Result<VisibleImage, ApiError> {
        let access = Access { uuid: self.0, account: context.params.account()? };
        VisibleImage::find(access, context, state).await
    }

    /// The rest of what [`OwnedImage`] does.
    pub(super) async fn owned(self, context: &Context, state: &AppState) -> Result<OwnedImage, ApiError> {
        let access = Access { uuid: self.0, account: context.params.account()? };
        OwnedImage::find(access, state).await
    }
}

impl FromRequestParts<AppState> for ImageUuid {
    type Rejection = ApiError;

    /// What is not a lower-case UUID is an unknown resource, not a bad parameter.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let uuid = params.and_then(|params| params.iter().next().and_then(|(_, value)| value.parse().ok()));
        let unknown = || ApiError::new(Code::ResourceNotFound, format!("{} does not exist", parts.uri));
        uuid.map(ImageUuid).ok_or_else(unknown)
    }
}

/// The UUID is checked before the account, as in 4.13.1.
async fn access(parts: &mut Parts, state: &AppState) -> Result<Access, ApiError> {
    let ImageUuid(uuid) = ImageUuid::from_request_parts(parts, state).await?;
    let context = Context::from_request_parts(parts, state).await?;
    Ok(Access { uuid, account: context.params.account()? })
}
