// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /authkeys/reload` — AdminReloadAuthKeys.

use axum::extract::State;

use super::AppState;
use super::reply::Json;

/// Answers at once, as in 4.13.1. The log shows the result.
pub(super) async fn reload_auth_keys(State(state): State<AppState>) -> Json {
    state.auth().reload();
    Json::rendered("{}")
}
