// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Extractors that answer, once for every route, what is the same for all routes of an image.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::AppState;
use super::context::Context;
use super::params::Params;
use crate::config::ChannelId;
use crate::images::{self, Access, ApiError, Code};
use crate::manifest::{Image, Uuid, View};

/// The image that the path names, visible to the caller: 404 otherwise.
#[derive(Debug)]
pub(super) struct VisibleImage {
    pub(super) access: Access,
    pub(super) image: Arc<View>,
}

/// The same for routes that change the image, as far as is known of it: 422 `NotImageOwner` for an account that only sees it.
#[derive(Debug)]
pub(super) struct OwnedImage {
    pub(super) access: Access,
    pub(super) image: Image,
}

impl FromRequestParts<AppState> for VisibleImage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let ImageUuid(uuid) = ImageUuid::from_request_parts(parts, state).await?;
        let context = Context::from_request_parts(parts, state).await?;
        let channel = context.channel_or_all(state)?;
        ImagePath { uuid, channel }.visible(&context, state).await
    }
}

impl VisibleImage {
    async fn find(access: Access, context: &Context, state: &AppState) -> Result<Self, ApiError> {
        let image = context.found(images::lookup(state.app(), access).await?);
        if context.sees_active_only(state) && !image.is_active() {
            return Err(ApiError::image_not_found(access.uuid));
        }
        Ok(VisibleImage { access, image })
    }
}

impl FromRequestParts<AppState> for OwnedImage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let path = ImagePath::from_request_parts(parts, state).await?;
        let context = Context::from_request_parts(parts, state).await?;
        path.owned(&context, state).await
    }
}

/// The UUID that the path names and the channel of the request, for a route that has something else to check before it
/// looks for the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImagePath {
    pub(super) uuid: Uuid,
    pub(super) channel: Option<ChannelId>,
}

impl ImagePath {
    /// The rest of what [`VisibleImage`] does.
    pub(super) async fn visible(self, context: &Context, state: &AppState) -> Result<VisibleImage, ApiError> {
        VisibleImage::find(self.access(&context.params)?, context, state).await
    }

    /// The rest of what [`OwnedImage`] does.
    pub(super) async fn owned(self, context: &Context, state: &AppState) -> Result<OwnedImage, ApiError> {
        let access = self.access(&context.params)?;
        let (image, ()) = images::checked(state.app(), access, |_| Ok(())).await?;
        Ok(OwnedImage { access, image })
    }

    /// Who asks for the image, with these parameters.
    pub(super) fn access(self, params: &Params) -> Result<Access, ApiError> {
        Ok(Access { uuid: self.uuid, channel: self.channel, account: params.account()? })
    }
}

impl FromRequestParts<AppState> for ImagePath {
    type Rejection = ApiError;

    /// The UUID is checked before the channel, and both before the account, as in 4.13.1.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let ImageUuid(uuid) = ImageUuid::from_request_parts(parts, state).await?;
        let context = Context::from_request_parts(parts, state).await?;
        Ok(ImagePath { uuid, channel: context.channel(state)? })
    }
}

/// The UUID that the path names, for a route without channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageUuid(pub(super) Uuid);

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
