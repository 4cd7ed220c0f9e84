// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/images/:uuid/icon`.

use std::time::SystemTime;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;

use super::AppState;
use super::context::Context;
use super::download::{Description, FileBodies};
use super::extract::{OwnedImage, VisibleImage};
use super::reply::Json;
use super::reply::reply;
use super::upload_params::parse_storage;
use super::{body_stream, upload_params};
use crate::images::{self, ApiError, ApiResult, Code, IconUpload, OpenedFile};
use crate::manifest::{Icon, times};

/// The media types that an icon can have, without parameters.
const CONTENT_TYPES: [&str; 3] = ["image/jpeg", "image/gif", "image/png"];

/// `PUT /images/:uuid/icon` — AddImageIcon.
pub(super) async fn add_image_icon(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: OwnedImage,
    body: Body,
) -> ApiResult<Json> {
    let content_type = parse_content_type(&headers)?;
    let storage = parse_storage(&context.params)?;
    let upload = IconUpload {
        content_type: content_type.to_owned(),
        declared: upload_params::declared(&context.params, &headers, Code::Upload)?,
        storage,
    };
    let body = body_stream::stream(&state, body);
    let image = images::add_icon(state.app(), image.access, &image.image, upload, body).await?;
    reply(&image, &context.form(&state, false))
}

fn parse_content_type(headers: &HeaderMap) -> ApiResult<&'static str> {
    let given = headers.get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let known = CONTENT_TYPES.into_iter().find(|known| known.as_bytes() == given);
    known.ok_or_else(|| {
        let message = format!("the Content-Type of an icon must be one of {}", CONTENT_TYPES.join(", "));
        ApiError::new(Code::Upload, message)
    })
}

/// `GET` and `HEAD /images/:uuid/icon` — GetImageIcon.
pub(super) async fn get_image_icon(
    State(state): State<AppState>,
    method: Method,
    headers: HeaderMap,
    image: VisibleImage,
    Extension(bodies): Extension<FileBodies>,
) -> ApiResult<Response> {
    let plan = |entry: &Icon| described(entry).plan(&method, &headers);
    let OpenedFile { entry, file, plan } =
        images::get_icon(state.app(), image.access, &image.image, plan).await?;
    described(&entry).respond(plan, file, &bodies)
}

fn described(entry: &Icon) -> Description<'_> {
    Description {
        size: entry.size,
        content_type: &entry.content_type,
        sha1: &entry.sha1,
        md5: entry.content_md5.as_deref(),
        modified: entry.mtime.as_deref().and_then(times::parse_js_date).map(SystemTime::from),
    }
}

/// `DELETE /images/:uuid/icon` — DeleteImageIcon.
pub(super) async fn delete_image_icon(
    State(state): State<AppState>,
    context: Context,
    image: OwnedImage,
) -> ApiResult<Json> {
    let image = images::delete_icon(state.app(), image.access).await?;
    reply(&image, &context.form(&state, false))
}
