// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/images/:uuid/file`.

use std::time::SystemTime;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::AppState;
use super::body_stream;
use super::context::Context;
use super::download::{Description, FileBodies};
use super::extract::{OwnedImage, VisibleImage};
use super::fetch;
use super::params::Params;
use super::reply::Json;
use super::reply::reply;
use super::upload_params::{self, parse_compression, parse_storage};
use crate::images::{self, ApiError, ApiResult, Code, FileUpload, OpenedFile};
use crate::manifest::{ImageFile, times};

/// `PUT /images/:uuid/file` — AddImageFile, and with a `source` AddImageFileFromSource.
pub(super) async fn add_image_file(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: OwnedImage,
    body: Body,
) -> ApiResult<Json> {
    let (current, ()) = images::checked(state.app(), image.access, images::check_unactivated).await?;
    if let Some(source) = context.params.one("source")? {
        let storage = parse_storage(&context.params)?;
        return fetch::add_image_file_from_source(&state, &context, image.access, &current, source, storage)
            .await;
    }
    let upload = parse_upload(&context.params, &headers)?;
    let body = body_stream::stream(&state, body);
    let image = images::add_file(state.app(), image.access, &current, upload, body).await?;
    reply(&image, &context.form(&state, false))
}

fn parse_upload(params: &Params, headers: &HeaderMap) -> ApiResult<FileUpload> {
    Ok(FileUpload {
        compression: parse_compression(params)?,
        declared: upload_params::declared(params, headers, Code::Download)?,
        dataset_guid: params.non_empty("dataset_guid")?.map(str::to_owned),
        storage: parse_storage(params)?,
        job: None,
    })
}

/// `GET` and `HEAD /images/:uuid/file` — GetImageFile.
pub(super) async fn get_image_file(
    State(state): State<AppState>,
    context: Context,
    method: Method,
    headers: HeaderMap,
    image: VisibleImage,
    Extension(bodies): Extension<FileBodies>,
) -> ApiResult<Response> {
    let index = file_index(&context.params, &image)?;
    let plan = |entry: &ImageFile| described(entry).plan(&method, &headers);
    let OpenedFile { entry, file, plan } =
        images::get_file(state.app(), image.access, &image.image, index, plan).await?;
    described(&entry).respond(plan, file, &bodies)
}

fn described(entry: &ImageFile) -> Description<'_> {
    Description {
        size: entry.size,
        content_type: "application/octet-stream",
        sha1: &entry.sha1,
        md5: entry.content_md5.as_deref(),
        modified: entry.mtime.as_deref().and_then(times::parse_js_date).map(SystemTime::from),
    }
}

/// The number that the text begins with; 0 for any other text, as in 4.13.1. A number that cannot be an index, such as a
/// negative one, is a 404.
fn file_index(params: &Params, image: &VisibleImage) -> ApiResult<usize> {
    let text = params.non_empty("index")?.unwrap_or_default().trim_start();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit()).map_or(unsigned, |end| &unsigned[..end]);
    let number = if digits.is_empty() { "0" } else { &text[..text.len() - unsigned.len() + digits.len()] };
    match number.parse::<i64>().ok().and_then(|number| usize::try_from(number).ok()) {
        Some(index) => Ok(index),
        None => Err(ApiError::no_file(image.access.uuid, number)),
    }
}
