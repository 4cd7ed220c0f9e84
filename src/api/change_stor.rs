// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /images/:uuid?action=change-stor` — AdminChangeImageStor.

use axum::response::{IntoResponse, Response};

use super::AppState;
use super::body::Parsed;
use super::context::Context;
use super::extract::ImagePath;
use super::reply::Json;
use crate::images::{self, ApiError, ApiResult};
use crate::manifest::{ApiForm, ApiVersion, FieldError, Stor, json};

/// Moves an image's file to another storage.
pub(super) async fn change_stor(
    state: &AppState,
    context: &Context,
    path: ImagePath,
    body: &Parsed,
) -> ApiResult<Response> {
    let access = path.visible(context, state).await?.access;
    context.params.operator_only()?;
    let params = context.params.or_from(body.members(), &["stor"])?;
    let stor = parse_stor(state, params.non_empty("stor")?)?;
    let image = images::change_stor(state.app(), access, stor).await?;
    // As in 4.13.1, the answer always has the newer form, and no entity tag.
    let form = ApiForm { version: ApiVersion::V2, admin_fields: true, ..context.form(state, true) };
    Ok(Json::rendered(json::pretty(&image.api(&form))?).into_response())
}

fn parse_stor(state: &AppState, stor: Option<&str>) -> ApiResult<Stor> {
    let invalid = |reason: &str| FieldError::invalid("stor").because(reason);
    let problem = match stor.map(str::parse) {
        Some(Ok(stor)) if state.app().storage.kinds().contains(&stor) => return Ok(stor),
        Some(Ok(_)) => invalid("is no storage of this server"),
        Some(Err(_)) => invalid("must be local or manta"),
        None => FieldError::missing("stor"),
    };
    Err(ApiError::invalid_request(vec![problem]))
}
