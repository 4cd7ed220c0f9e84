// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Extractors that do the checks which all routes of an image share.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::AppState;
use super::context::Context;
use super::params::Params;
use crate::config::ChannelId;
use crate::images::{self, Access, ApiError, Code};
use crate::manifest::{Image, Uuid, View};

/// The image in the path, if it is visible to the caller; otherwise 404.
#[derive(Debug)]
pub(super) struct VisibleImage {
    pub(super) access: Access,
    pub(super) image: Arc<View>,
}

/// The image in the path, as known in memory, for routes that change it: 422 `NotImageOwner` for an account that may
/// only see it.
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

/// The UUID in the path and the channel of the request, for a route that has other checks before it looks up the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImagePath {
    pub(super) uuid: Uuid,
    pub(super) channel: Option<ChannelId>,
}

impl ImagePath {
    /// Does the remaining checks of [`VisibleImage`].
    pub(super) async fn visible(self, context: &Context, state: &AppState) -> Result<VisibleImage, ApiError> {
        VisibleImage::find(self.access(&context.params)?, context, state).await
    }

    /// Does the remaining checks of [`OwnedImage`].
    pub(super) async fn owned(self, context: &Context, state: &AppState) -> Result<OwnedImage, ApiError> {
        let access = self.access(&context.params)?;
        let (image, ()) = images::checked(state.app(), access, |_| Ok(())).await?;
        Ok(OwnedImage { access, image })
    }

    /// Returns the access to the image, with the account in these parameters.
    pub(super) fn access(self, params: &Params) -> Result<Access, ApiError> {
        Ok(Access { uuid: self.uuid, channel: self.channel, account: params.account()? })
    }
}

impl FromRequestParts<AppState> for ImagePath {
    type Rejection = ApiError;

    /// As in 4.13.1, the UUID is checked before the channel, and both before the account.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let ImageUuid(uuid) = ImageUuid::from_request_parts(parts, state).await?;
        let context = Context::from_request_parts(parts, state).await?;
        Ok(ImagePath { uuid, channel: context.channel(state)? })
    }
}

/// The UUID in the path, for a route without channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageUuid(pub(super) Uuid);

impl FromRequestParts<AppState> for ImageUuid {
    type Rejection = ApiError;

    /// Anything but a lower-case UUID is an unknown resource, not an invalid parameter.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let uuid = params.and_then(|params| params.iter().next().and_then(|(_, value)| value.parse().ok()));
        let unknown = || ApiError::new(Code::ResourceNotFound, format!("{} does not exist", parts.uri));
        uuid.map(ImageUuid).ok_or_else(unknown)
    }
}
