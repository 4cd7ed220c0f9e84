// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/images` and `/images/:uuid`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::body::read_body;
use super::conditional::{self, Outcome, Validators};
use super::context::Context;
use super::extract::{OwnedImage, VisibleImage};
use super::foreign;
use super::jobs;
use super::reply::{Json, reply};
use super::unavailable;
use crate::images::{self, ApiError, ApiResult};
use crate::manifest::FieldCode;
use crate::manifest::list::{Caller, ListQuery};

/// `GET /images` — ListImages.
pub(super) async fn list_images(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let channel = context.channel_or_all(&state)?;
    let form = context.form(&state, context.admin_fields(&state)?);
    let caller = Caller { mode: form.mode, anonymous: context.user().is_none() };
    let query = ListQuery::parse(context.params.pairs(), caller)
        .map_err(|error| ApiError::invalid_parameters(vec![error]))?;
    let Some(mut query) = query else { return Ok(Json::rendered("[]").into_response()) };
    query.active_only = context.sees_active_only(&state);
    let list = context.found(images::list(state.app(), query, channel, form).await?);
    let quoted = format!("\"{}\"", list.etag);
    match conditional::read(&headers, Validators { etag: &list.etag, modified: None })? {
        Outcome::NotModified => Ok(not_modified(&quoted)),
        Outcome::Send => Ok(Json::rendered(list.text).with_etag(quoted).into_response()),
    }
}

/// `GET /images/:uuid` — GetImage.
pub(super) async fn get_image(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: VisibleImage,
) -> ApiResult<Response> {
    let form = context.form(&state, context.admin_fields(&state)?);
    let etag = image.image.etag(&form);
    match conditional::read(&headers, Validators { etag: &etag, modified: None })? {
        Outcome::NotModified => Ok(not_modified(&etag)),
        Outcome::Send => Ok(Json::rendered(image.image.text(&form)).with_etag(etag).into_response()),
    }
}

/// `POST /images` — CreateImage.
pub(super) async fn create_image(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let channel = context.channel(&state)?;
    let body = read_body(&context, &headers, body).await?;
    match context.params.one("action")? {
        None => {}
        Some("create-from-vm") => return jobs::create_from_vm(&state, &context, channel, body).await,
        Some("import-docker-image") => return Err(unavailable::import_docker_image(&context)),
        Some("import-lxd-image") => return foreign::import_lxd_image(&state, &context, channel),
        Some(action) => {
            let message = format!("{action:?} is not an action");
            return Err(ApiError::invalid_parameter("action", FieldCode::Invalid, message));
        }
    }
    let account = context.params.account()?;
    let image = images::create(state.app(), account, channel, body.into_object()?).await?;
    Ok(reply(&image, &context.form(&state, false))?.into_response())
}

/// `DELETE /images/:uuid` — DeleteImage.
pub(super) async fn delete_image(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: OwnedImage,
) -> ApiResult<StatusCode> {
    let force_all_channels = context.params.flag("force_all_channels")?;
    let precondition = conditional::precondition(&headers, context.form(&state, false));
    images::delete(state.app(), image.access, force_all_channels, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
