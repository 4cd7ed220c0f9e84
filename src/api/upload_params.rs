// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Parameters and headers that describe an uploaded file.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::params::Params;
use crate::images::{ApiError, ApiResult, Code, DeclaredContent};
use crate::manifest::{Compression, FieldCode, FieldError, Stor};

/// The length of a SHA-1 in hex characters.
const SHA1_LENGTH: usize = 40;
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// The length of an MD5 in bytes.
const MD5_LENGTH: usize = 16;

pub(super) fn parse_compression(params: &Params) -> ApiResult<Compression> {
    let Some(compression) = params.non_empty("compression")? else {
        let missing = FieldError::new("compression", FieldCode::Missing);
        return Err(ApiError::invalid_parameters(vec![missing]));
    };
    compression.parse().map_err(|_| {
        let message = format!("must be gzip, bzip2, xz or none, not {compression:?}");
        ApiError::invalid_parameter("compression", FieldCode::Invalid, message)
    })
}

/// Reads the storage that an operator has chosen for a file. Other callers cannot choose.
pub(super) fn parse_storage(params: &Params) -> ApiResult<Option<Stor>> {
    let Some(storage) = params.non_empty("storage")? else { return Ok(None) };
    if params.account()?.is_some() {
        let message = "may only be chosen by operators";
        return Err(ApiError::invalid_parameter("storage", FieldCode::NotAllowed, message));
    }
    storage.parse().map(Some).map_err(|_| {
        let message = format!("must be local or manta, not {storage:?}");
        ApiError::invalid_parameter("storage", FieldCode::Invalid, message)
    })
}

/// Returns what a request announces about its body. `code` is the code for a wrong SHA-1.
pub(super) fn declared(params: &Params, headers: &HeaderMap, code: Code) -> ApiResult<DeclaredContent> {
    Ok(DeclaredContent {
        length: headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        sha1: parse_sha1(params, code)?,
        md5: parse_md5(headers)?,
    })
}

/// Reads the parameter `sha1`. An empty value is rejected, because it would look like a check that was made. A
/// malformed value is rejected before up to 20 GiB are received.
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

/// Reads the `Content-MD5` of a body that is stored as received.
fn parse_md5(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut lines = headers.get_all(CONTENT_MD5).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let is_digest = |text: &str| STANDARD.decode(text).is_ok_and(|digest| digest.len() == MD5_LENGTH);
    match line.to_str().ok().filter(|text| is_digest(text)) {
        Some(text) if lines.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(ApiError::new(Code::InvalidHeader, "Content-MD5 must be one MD5 in Base64")),
    }
}
