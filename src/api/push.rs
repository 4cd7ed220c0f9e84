// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /images/:uuid/push` — AdminPushDockerImage.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::AppState;
use super::body::{Parsed, read_body};
use super::context::Context;
use super::extract::{ImagePath, ImageUuid};
use super::foreign::streamed;
use crate::images::{self, ApiError, ApiResult, Code, DockerPush};
use crate::import::registry::{Content, Credentials, Digest, ImageManifest, Manifest, Repository};
use crate::manifest::{FieldError, Image, ImageType};

pub(super) async fn push_docker_image(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    ImageUuid(uuid): ImageUuid,
    body: Body,
) -> ApiResult<Response> {
    let body = read_body(&context, &headers, body).await?;
    let access = ImagePath { uuid, channel: None }.access(&context.params)?;
    let is_docker = |image: &Image| match image.image_type() {
        Some(ImageType::Docker) => Ok(()),
        _ => {
            let problem = FieldError::invalid("type").because("only images of type docker can be pushed");
            Err(ApiError::validation(vec![problem]))
        }
    };
    images::checked(state.app(), access, is_docker).await?;
    let Some(reference) = context.params.non_empty("repoAndTag")? else {
        return Err(refused(FieldError::missing("repoAndTag")));
    };
    let (repository, revision) = Repository::parse_with_revision(reference)
        .map_err(|problem| refused(FieldError::invalid("repoAndTag").because(problem.to_string())))?;
    let mut record = image_record(body)?;
    let (manifest, image) = manifest(&mut record)?;
    let config = match record.remove("image") {
        Some(config @ Value::Object(_)) => config,
        Some(_) => return Err(refused(FieldError::invalid("image").because("must be a JSON object"))),
        None => return Err(refused(FieldError::missing("image"))),
    };
    let config_digest = config_digest(&record)?;
    let auth = headers.get("x-registry-auth").and_then(|auth| auth.to_str().ok());
    let credentials = Credentials::from_headers(auth, None, &repository)
        .map_err(|problem| ApiError::new(Code::NotImplemented, problem.to_string()))?;
    let push = DockerPush { repository, revision, credentials, manifest, image, config, config_digest };
    let mut response = streamed(images::push_docker_image(state.app(), push, &context.id_text()));
    // As in 4.13.1.
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}

fn refused(problem: FieldError) -> ApiError {
    ApiError::invalid_request(vec![problem])
}

/// Returns the record that sdc-docker keeps of the image.
fn image_record(body: Parsed) -> ApiResult<Map<String, Value>> {
    match body {
        Parsed::Absent => Err(refused(FieldError::missing("body"))),
        body => body.into_object(),
    }
}

/// Returns the manifest in the record: a text, because its digest is that of the exact bytes.
fn manifest(record: &mut Map<String, Value>) -> ApiResult<(Manifest, ImageManifest)> {
    let unusable =
        |problem: &dyn ToString| refused(FieldError::invalid("manifest_str").because(problem.to_string()));
    let text = match record.remove("manifest_str") {
        Some(Value::String(text)) => text,
        Some(_) => return Err(unusable(&"must be a text that is JSON")),
        None => return Err(refused(FieldError::missing("manifest_str"))),
    };
    let value: Value = serde_json::from_str(&text).map_err(|_| unusable(&"must be a text that is JSON"))?;
    if value.is_object() && value.get("layers").is_none() {
        return Err(refused(FieldError::missing("layers")));
    }
    let manifest = Manifest::from_text(text).map_err(|problem| unusable(&problem))?;
    match manifest.content.clone() {
        Content::Image(image) => Ok((manifest, image)),
        Content::Schema1(_) => Err(unusable(&"a manifest of schema 1 cannot be pushed")),
    }
}

fn config_digest(record: &Map<String, Value>) -> ApiResult<Digest> {
    let Some(digest) = record.get("config_digest") else {
        return Err(refused(FieldError::missing("config_digest")));
    };
    let parsed = digest.as_str().and_then(|digest| digest.parse().ok());
    parsed.ok_or_else(|| {
        let problem = "must be sha256: and 64 lower-case hex digits";
        refused(FieldError::invalid("config_digest").because(problem))
    })
}
