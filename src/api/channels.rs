//! `/channels`.

use axum::extract::State;

use super::AppState;
use super::reply::Json;
use crate::images::ApiResult;
use crate::manifest::json;

/// `GET /channels` — ListChannels: as they are configured.
pub(super) async fn list_channels(State(state): State<AppState>) -> ApiResult<Json> {
    Ok(Json::rendered(json::pretty(&state.app().config.channels.objects())?))
}
