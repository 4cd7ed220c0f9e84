// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Responses: JSON bodies, and errors in the form that clients know.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use sha1::{Digest, Sha1};

use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{ApiForm, FieldError, Image, json};

/// A JSON body, with status 200 unless said otherwise, two spaces of indentation a level.
#[derive(Debug)]
pub(super) struct Json {
    text: Bytes,
    etag: Option<String>,
    status: StatusCode,
}

/// The text of a response's JSON body, kept beside the body for the audit record and other representations.
#[derive(Debug, Clone)]
pub(super) struct JsonText(pub(super) Bytes);

/// An error on its way to the client, kept beside the response for the audit record.
#[derive(Debug, Clone)]
pub(super) struct Failure(pub(super) std::sync::Arc<ApiError>);

impl Json {
    /// `text` is rendered JSON.
    pub(super) fn rendered(text: impl Into<Bytes>) -> Json {
        Json { text: text.into(), etag: None, status: StatusCode::OK }
    }

    /// The same with another status, of an answer that is no failure of the request.
    pub(super) fn with_status(mut self, status: StatusCode) -> Json {
        self.status = status;
        self
    }

    /// The same with an entity tag.
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
        // Texts always render.
        let text = json::pretty(&body).unwrap_or_default();
        let mut response = json_response(status, text.into());
        if self.code() == Code::ServiceUnavailableError {
            // Whatever it is, it may be over in a moment.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Failure(std::sync::Arc::new(self)));
        response
    }
}

/// The image, with its entity tag.
pub(super) fn reply(image: &Image, form: &ApiForm) -> ApiResult<Json> {
    Ok(Json::rendered(json::pretty(&image.api(form))?).with_etag(etag(image, form)?))
}

/// The tag of an image's representation: the SHA-1 of its compact form, as 4.13.1 computes it.
pub(super) fn etag(image: &Image, form: &ApiForm) -> ApiResult<String> {
    Ok(hex::encode(Sha1::digest(json::compact(&image.api(form))?)))
}
