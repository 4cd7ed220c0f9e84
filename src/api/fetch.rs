// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that this server fetches from other servers.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::Value;

use super::AppState;
use super::body::{self, Parsed};
use super::context::Context;
use super::extract::OwnedImage;
use super::reply::Json;
use super::reply::reply;
use super::upload_params;
use super::upload_params::{parse_compression, parse_storage};
use crate::images::{self, Access, ApiError, ApiResult, Code, DeclaredContent, FileUpload};
use crate::import::{FileUrl, InvalidFileUrl, InvalidSource, Source};
use crate::manifest::{FieldCode, FieldError, Image, Stor, Uuid};

/// `PUT /images/:uuid/file?source=…` — AddImageFileFromSource. The body and the client's parameters about the file are
/// ignored, because the source has that information.
pub(super) async fn add_image_file_from_source(
    state: &AppState,
    context: &Context,
    access: Access,
    image: &Image,
    source: &str,
    storage: Option<Stor>,
) -> ApiResult<Json> {
    let source = parse_source(source)?;
    let id = context.id_text();
    let job = job_of(context)?;
    let image = images::add_file_from_source(state.app(), access, image, &source, &id, storage, job).await?;
    reply(&image, &context.form(state, false))
}

/// `POST /images/:uuid/file/from-url` — AddImageFileFromUrl.
pub(super) async fn add_image_file_from_url(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: OwnedImage,
    body: Body,
) -> ApiResult<Json> {
    let body = body::read_body(&context, &headers, body).await?;
    let (current, ()) = images::checked(state.app(), image.access, images::check_unactivated).await?;
    let params = &context.params;
    let compression = parse_compression(params)?;
    let declared = DeclaredContent {
        sha1: upload_params::parse_sha1(params, Code::Download)?,
        ..DeclaredContent::default()
    };
    let dataset_guid = params.non_empty("dataset_guid")?.map(str::to_owned);
    let url = parse_file_url(&body)?;
    let storage = parse_storage(params)?;
    let upload = FileUpload { compression, declared, dataset_guid, storage, job: None };
    let image = images::add_file_from_url(state.app(), image.access, &current, &url, upload).await?;
    reply(&image, &context.form(&state, false))
}

/// Reads the `file_url` of a body of any type.
fn parse_file_url(body: &Parsed) -> ApiResult<FileUrl> {
    let url = match body {
        Parsed::Json(body) => body.get("file_url").unwrap_or(&Value::Null),
        Parsed::Absent | Parsed::Other => &Value::Null,
    };
    let invalid = |reason: &str| ApiError::invalid_parameter("file_url", FieldCode::Invalid, reason);
    match url {
        Value::Null => {
            Err(ApiError::invalid_parameters(vec![FieldError::new("file_url", FieldCode::Missing)]))
        }
        Value::String(url) => url.parse().map_err(|error: InvalidFileUrl| invalid(&error.to_string())),
        _ => Err(invalid("must be a text")),
    }
}

/// Returns the job for which IMGAPI fetches something. Anything that is not a UUID is ignored.
pub(super) fn job_of(context: &Context) -> ApiResult<Option<Uuid>> {
    Ok(context.params.one("job_uuid")?.and_then(|job| job.parse().ok()))
}

/// Parses a source. As in 4.13.1, an invalid URL is an unreachable source, and an empty one is an invalid parameter.
pub(super) fn parse_source(source: &str) -> ApiResult<Source> {
    if source.is_empty() {
        return Err(ApiError::invalid_parameter(
            "source",
            FieldCode::Invalid,
            "must be the URL of an IMGAPI",
        ));
    }
    source.parse().map_err(|error: InvalidSource| ApiError::new(Code::RemoteSourceError, error.to_string()))
}
