// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request body as a stream of bytes, for operations that store it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::AppState;
use super::params::Params;
use crate::config::Stalled;
use crate::images::{self, Announced, ApiError, ApiResult, Code};
use crate::manifest::FieldCode;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Characters of a SHA-1 in hex.
const SHA1_LENGTH: usize = 40;
/// Bytes of an MD5.
const MD5_LENGTH: usize = 16;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client went away, or broke the framing of its body.
    #[error("the request body is broken")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It came too slowly.
    #[error("the request body was given up: {0}")]
    Stalled(#[from] Stalled),
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        match error {
            BodyError::Broken(_) => {
                ApiError::new(Code::BadRequestError, "the request body ended early or is malformed")
                    .because(error)
            }
            BodyError::Stalled(_) => ApiError::new(Code::RequestTimeout, error.to_string()),
        }
    }
}

/// What a request says about the bytes in its body. `code` is that of a wrong SHA-1.
pub(super) fn announced(params: &Params, headers: &HeaderMap, code: Code) -> ApiResult<Announced> {
    Ok(Announced {
        length: headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        sha1: parse_sha1(params, code)?,
        md5: parse_md5(headers)?,
    })
}

/// The parameter `sha1`. An empty one would pass for a check that was made. What can be no SHA-1 is a wrong one, and there
/// is no need to wait for 20 GiB to say so.
pub(super) fn parse_sha1(params: &Params, code: Code) -> ApiResult<Option<String>> {
    let Some(text) = params.one("sha1")? else { return Ok(None) };
    if text.is_empty() {
        return Err(ApiError::invalid_parameter("sha1", FieldCode::Invalid, "must be a SHA-1 in hex"));
    }
    if text.len() != SHA1_LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::new(code, format!("the parameter sha1 must be a SHA-1 in hex, not {text:?}")));
    }
    Ok(Some(text.to_ascii_lowercase()))
}

/// The `Content-MD5` of a body that is stored as it comes.
fn parse_md5(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut lines = headers.get_all(CONTENT_MD5).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let is_digest = |text: &str| STANDARD.decode(text).is_ok_and(|digest| digest.len() == MD5_LENGTH);
    match line.to_str().ok().filter(|text| is_digest(text)) {
        Some(text) if lines.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(ApiError::new(Code::InvalidHeader, "Content-MD5 must be one MD5 in Base64")),
    }
}

/// The bytes of `body`, which has to keep to the limits of transfers.
pub(super) fn stream(state: &AppState, body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> {
    let chunks = body.into_data_stream().map(|chunk| chunk.map_err(|error| BodyError::Broken(error.into())));
    images::paced(state.app(), chunks)
}
