// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /images/:uuid/clone` — CloneImage.

use axum::extract::State;

use super::AppState;
use super::context::Context;
use super::extract::ImagePath;
use super::reply::Json;
use crate::images::{self, ApiResult};
use crate::manifest::json;

/// Only available in a datacenter. The body is ignored. The answer is the clone, without an entity tag.
pub(super) async fn clone_image(
    State(state): State<AppState>,
    context: Context,
    path: ImagePath,
) -> ApiResult<Json> {
    let access = path.visible(&context, &state).await?.access;
    let clone = images::clone_image(state.app(), access).await?;
    Ok(Json::rendered(json::pretty(&clone.api(&context.form(&state, false)))?))
}
