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
        let image = images::lookup(state.app(), access).await?.image;
        Ok(VisibleImage { access, image })
    }
}

impl FromRequestParts<AppState> for OwnedImage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let access = access(parts, state).await?;
        let image = images::owned(state.app(), access).await?.image;
        Ok(OwnedImage { access, image })
    }
}

/// The UUID is checked before the account, as in 4.13.1.
async fn access(parts: &mut Parts, state: &AppState) -> Result<Access, ApiError> {
    let uuid = path_uuid(parts, state).await?;
    let context = Context::from_request_parts(parts, state).await?;
    Ok(Access { uuid, account: context.params.account()? })
}

/// What is not a lower-case UUID is an unknown resource, not a bad parameter.
async fn path_uuid(parts: &mut Parts, state: &AppState) -> Result<Uuid, ApiError> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let uuid = params.ok().and_then(|params| params.iter().next().and_then(|(_, value)| value.parse().ok()));
    uuid.ok_or_else(|| ApiError::new(Code::ResourceNotFound, format!("{} does not exist", parts.uri)))
}
