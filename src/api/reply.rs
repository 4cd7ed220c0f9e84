// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Responses: JSON bodies, and errors in the form that clients expect.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use sha1::{Digest, Sha1};

use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{ApiForm, FieldError, Image, json};

/// A JSON body, indented by two spaces a level, with status 200 by default.
#[derive(Debug)]
pub(super) struct Json {
    text: Bytes,
    etag: Option<String>,
    status: StatusCode,
}

/// The text of a response's JSON body, kept with the response for the audit record and other representations.
#[derive(Debug, Clone)]
pub(super) struct JsonText(pub(super) Bytes);

/// The error of a response, kept with the response for the audit record.
#[derive(Debug, Clone)]
pub(super) struct Failure(pub(super) std::sync::Arc<ApiError>);

impl Json {
    /// Wraps rendered JSON.
    pub(super) fn rendered(text: impl Into<Bytes>) -> Json {
        Json { text: text.into(), etag: None, status: StatusCode::OK }
    }

    /// Sets another status, for an answer that is not a failure of the request.
    pub(super) fn with_status(mut self, status: StatusCode) -> Json {
        self.status = status;
        self
    }

    /// Adds an entity tag.
    pub(super) fn with_etag(mut self, etag: String) -> Json {
        self.etag = Some(etag);
        self
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, self.text);
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

fn json_response(status: StatusCode, text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text.clone()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(JsonText(text));
    response
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code_text(), message: self.message(), errors: self.field_errors() };
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings can always be rendered.
        let text = json::pretty(&body).unwrap_or_default();
        let mut response = json_response(status, text.into());
        if self.code() == Code::ServiceUnavailableError {
            // The problem may be over in a moment.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Failure(std::sync::Arc::new(self)));
        response
    }
}

/// Returns the image with its entity tag.
pub(super) fn reply(image: &Image, form: &ApiForm) -> ApiResult<Json> {
    Ok(Json::rendered(json::pretty(&image.api(form))?).with_etag(etag(image, form)?))
}

/// Returns the entity tag of an image: the SHA-1 of its compact form, as in 4.13.1.
pub(super) fn etag(image: &Image, form: &ApiForm) -> ApiResult<String> {
    Ok(hex::encode(Sha1::digest(json::compact(&image.api(form))?)))
}
