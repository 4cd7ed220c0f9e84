// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Responses that are parts of the program and do not change while it runs.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};

use super::conditional::{self, Outcome, Validators};
use crate::images::ApiResult;

/// Constant content with its headers.
#[derive(Debug)]
pub(super) struct StaticContent {
    content: Bytes,
    content_type: &'static str,
    cache_control: &'static str,
    /// The MD5 of the content in base64, as 4.13.1 sends it for its icon.
    etag: String,
}

impl StaticContent {
    pub(super) fn new(
        content: impl Into<Bytes>,
        content_type: &'static str,
        cache_control: &'static str,
    ) -> StaticContent {
        let content = content.into();
        let etag = STANDARD.encode(Md5::digest(&content));
        StaticContent { content, content_type, cache_control, etag }
    }

    /// Answers a GET with these headers: 200, 304 or 412.
    pub(super) fn respond(&self, headers: &HeaderMap) -> ApiResult<Response> {
        let mut response = match conditional::read(headers, Validators { etag: &self.etag, modified: None })?
        {
            Outcome::NotModified => StatusCode::NOT_MODIFIED.into_response(),
            Outcome::Send => {
                let mut response = Body::from(self.content.clone()).into_response();
                let content_type = HeaderValue::from_static(self.content_type);
                response.headers_mut().insert(header::CONTENT_TYPE, content_type);
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", self.etag)) {
            headers.insert(header::ETAG, etag);
        }
        Ok(response)
    }
}
