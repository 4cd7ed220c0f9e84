// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /images/:uuid?action=…`.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::AppState;
use super::body::{Parsed, read_body};
use super::change_stor;
use super::conditional;
use super::context::Context;
use super::extract::{ImagePath, OwnedImage};
use super::imports;
use super::jobs;
use super::reply::Json;
use super::reply::reply;
use crate::images::{self, ApiError, ApiResult};
use crate::manifest::{FieldCode, FieldError, Image, Record, json};

/// Carries out the action that `action` names. The actions are checked in the order of 4.13.1, which decides which of
/// several errors a client gets.
pub(super) async fn act_on_image(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    path: ImagePath,
    body: Body,
) -> ApiResult<Response> {
    let body = read_body(&context, &headers, body).await?;
    // A repeated action is an unknown one, which is reported further below.
    let action = context.params.non_empty("action").ok().flatten();
    match action {
        Some("import") => return imports::import(&state, &context, &headers, path, body).await,
        Some("import-remote") => return jobs::import_remote(&state, &context, path).await,
        Some("import-from-datacenter") => {
            return jobs::import_from_datacenter(&state, &context, path, &body).await;
        }
        Some("change-stor") => return change_stor::change_stor(&state, &context, path, &body).await,
        Some("export") => return export(&state, &context, path, &body).await,
        _ => {}
    }
    let image = path.owned(&context, &state).await?;
    let changed = change(&state, &context, &headers, image, body).await?;
    Ok(reply(&changed, &context.form(&state, false))?.into_response())
}

/// `POST /images/:uuid?action=export` — ExportImage.
async fn export(state: &AppState, context: &Context, path: ImagePath, body: &Parsed) -> ApiResult<Response> {
    let params = context.params.or_from(body.members(), &["manta_path", "account"])?;
    let access = path.access(&params)?;
    let image = images::owned(state.app(), access).await?.image;
    let Some(path) = params.one("manta_path")? else {
        return Err(ApiError::invalid_request(vec![FieldError::missing("manta_path")]));
    };
    let form = context.form(state, false);
    let exported = images::export(state.app(), access, image, path, form).await?;
    Ok(Json::rendered(json::pretty(&exported)?).into_response())
}

/// The actions that `If-Match` and `If-None-Match` apply to. These conditions are checked before the action, known or not.
async fn change(
    state: &AppState,
    context: &Context,
    headers: &HeaderMap,
    target: OwnedImage,
    body: Parsed,
) -> ApiResult<Image> {
    let (access, app) = (target.access, state.app());
    let precondition = conditional::precondition(headers, context.form(state, false));
    images::checked(app, access, |image| precondition.check(image)).await?;
    match context.params.non_empty("action")? {
        Some("activate") => images::activate(app, access, precondition).await,
        Some("enable") => images::set_disabled(app, access, precondition, false).await,
        Some("disable") => images::set_disabled(app, access, precondition, true).await,
        // Without channels this is an unknown action like any other.
        Some("channel-add") if !app.config.channels.is_empty() => {
            images::add_channel(app, access, precondition, channel_to_add(&body)?).await
        }
        Some("update") => {
            // An empty `account` names no account, but it does not make the call an operator's either.
            let is_operator = context.params.one("account")?.is_none();
            images::update(app, access, precondition, members(body)?, is_operator).await
        }
        Some(action) => {
            let message = format!("{action:?} is not an action");
            Err(ApiError::invalid_parameter("action", FieldCode::Invalid, message))
        }
        None => Err(ApiError::invalid_parameters(vec![FieldError::missing("action")])),
    }
}

/// Returns the `channel` in the body; `None` if the body has another form.
fn channel_to_add(body: &Parsed) -> ApiResult<Option<&str>> {
    match body {
        Parsed::Absent | Parsed::Json(Value::Null) => {
            Err(ApiError::invalid_body("must be a JSON object with a \"channel\""))
        }
        Parsed::Json(value) => Ok(value.get("channel").and_then(Value::as_str)),
        Parsed::Other => Ok(None),
    }
}

/// Returns the members of an update. As in 4.13.1, those of an array are its indices, which are unknown members.
fn members(body: Parsed) -> ApiResult<Record> {
    match body {
        Parsed::Json(Value::Array(items)) => {
            Ok(items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect())
        }
        body => body.into_object(),
    }
}
