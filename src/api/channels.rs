// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/channels`.

use axum::extract::State;

use super::AppState;
use super::reply::Json;
use crate::images::ApiResult;
use crate::manifest::json;

/// `GET /channels` — ListChannels: returns the channels as configured.
pub(super) async fn list_channels(State(state): State<AppState>) -> ApiResult<Json> {
    Ok(Json::rendered(json::pretty(&state.app().config.channels.objects())?))
}
