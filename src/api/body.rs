// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Request bodies that are parsed: JSON, and forms, which 4.13.1 accepts instead.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::Body as HttpBody;
use md5::{Digest, Md5};
use serde_json::{Map, Value};

use super::body_memory::{ReceiveBodyError, receive};
use super::body_stream::BodyError;
use super::context::Context;
use crate::config::Stalled;
use crate::images::{ApiError, ApiResult, Code, Size};
use crate::manifest::json;

/// The most bytes of a parsed body, before and after decompression. 4.13.1 has no limit; the largest manifest that it
/// accepts, without an absurd `acl`, is a few hundred KiB.
const MAX_BODY: usize = 4 << 20;

/// The most values in JSON, counting each value in objects and arrays. An ACL has at most 100,000.
const MAX_VALUES: usize = 200_000;

/// The approximate memory in bytes of a value while a request is processed: measured with rejected objects of one member.
const VALUE: usize = 1024;

/// How long receiving such a body may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The most fields of a form.
const MAX_FIELDS: usize = 1000;

/// A parsed body.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parsed {
    /// There is no body, or its type is not read.
    Absent,
    /// JSON, or a form as an object of strings.
    Json(Value),
    /// Anything else: text, or bytes of an unknown type.
    Other,
}

impl Parsed {
    /// Returns the members of an object; `None` for any other value.
    pub(super) fn members(&self) -> Option<&Map<String, Value>> {
        match self {
            Parsed::Json(Value::Object(members)) => Some(members),
            _ => None,
        }
    }

    /// Returns the members of an object. Any other value is reported under the field `body`.
    pub(super) fn into_object(self) -> ApiResult<Map<String, Value>> {
        match self {
            Parsed::Json(Value::Object(members)) => Ok(members),
            _ => Err(ApiError::invalid_body("must be a JSON object")),
        }
    }
}

/// Reads the body of a request, and notes it for the audit record.
pub(super) async fn read_body(context: &Context, headers: &HeaderMap, body: Body) -> ApiResult<Parsed> {
    let parsed = parse(headers, body, &context.size).await?;
    if let Parsed::Json(value) = &parsed {
        let _ = context.body.set(json::compact(value)?.into());
    }
    Ok(parsed)
}

/// Reads and parses the body by its `Content-Type`.
async fn parse(headers: &HeaderMap, body: Body, size: &Size) -> ApiResult<Parsed> {
    let content_type = content_type(headers);
    if content_type.is_empty() || content_type == "application/octet-stream" {
        return Ok(Parsed::Absent);
    }
    let received = collect(body).await?;
    if received.is_empty() {
        return Ok(Parsed::Absent);
    }
    // The decompressed length of a compressed body is not known yet.
    size.add(if headers.contains_key(header::CONTENT_ENCODING) { MAX_BODY } else { received.len() }).await;
    check_md5(headers, &received)?;
    let raw = decode(headers, received)?;
    if raw.is_empty() {
        return Ok(Parsed::Absent);
    }
    let values = if looks_like_json(&raw) { values_in(&raw) } else { 0 };
    if values > MAX_VALUES {
        return Err(too_large(format_args!("{MAX_VALUES} values")));
    }
    size.admit_body(raw.len() + values * VALUE).await.map_err(|_| too_many("being worked on"))?;
    match content_type.as_str() {
        "application/json" => parse_json(&raw),
        "application/x-www-form-urlencoded" => json_as_form(&raw).map_or_else(|| parse_form(&raw), Ok),
        _ => Ok(Parsed::Other),
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn collect(body: Body) -> ApiResult<Bytes> {
    // Such a body is rejected by its announced length, before it is received.
    if HttpBody::size_hint(&body).lower() > MAX_BODY as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(TIMEOUT, receive(body, MAX_BODY)).await {
        Ok(Ok(received)) => Ok(received.into()),
        Ok(Err(ReceiveBodyError::TooLong)) => Err(too_long()),
        Ok(Err(ReceiveBodyError::Displaced)) => Err(too_many("being received")),
        Ok(Err(ReceiveBodyError::Broken(error))) => Err(BodyError::Broken(error.into()).into()),
        Err(_) => Err(BodyError::Stalled(Stalled::Idle(TIMEOUT)).into()),
    }
}

fn too_many(what: &str) -> ApiError {
    ApiError::new(Code::ServiceUnavailableError, format!("too many large bodies are {what}"))
}

fn too_large(most: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::RequestEntityTooLarge, format!("a body of this kind may have at most {most}"))
}

fn too_long() -> ApiError {
    too_large(format_args!("{MAX_BODY} bytes"))
}

/// Counts the values in JSON before it is parsed: each value but the first comes after a bracket, a brace or a comma.
fn values_in(raw: &[u8]) -> usize {
    let (mut values, mut in_text, mut is_escaped) = (1, false, false);
    for byte in raw {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b',' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

fn decode(headers: &HeaderMap, raw: Bytes) -> ApiResult<Bytes> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    match encoding.as_deref() {
        None | Some(b"" | b"identity") => Ok(raw),
        Some(b"gzip" | b"x-gzip") => {
            let mut decoded = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(raw.as_ref()).take(MAX_BODY as u64 + 1);
            decoder
                .read_to_end(&mut decoded)
                .map_err(|_| ApiError::new(Code::InvalidContent, "the body is not valid gzip data"))?;
            if decoded.len() > MAX_BODY { Err(too_long()) } else { Ok(decoded.into()) }
        }
        Some(_) => Err(ApiError::new(Code::InvalidContent, "unknown Content-Encoding: gzip is known")),
    }
}

/// Checks the MD5 of the body as received, before decompression.
fn check_md5(headers: &HeaderMap, received: &[u8]) -> ApiResult<()> {
    let Some(expected) = headers.get("content-md5").filter(|expected| !expected.is_empty()) else {
        return Ok(());
    };
    let actual = STANDARD.encode(Md5::digest(received));
    if expected.as_bytes() == actual.as_bytes() {
        return Ok(());
    }
    Err(ApiError::new(Code::BadDigest, format!("the Content-MD5 of the body is {actual}")))
}

fn parse_json(raw: &[u8]) -> ApiResult<Parsed> {
    serde_json::from_slice(raw)
        .map(Parsed::Json)
        .map_err(|error| ApiError::new(Code::InvalidContent, format!("the body is not valid JSON: {error}")))
}

/// Parses JSON that was sent with the type of a form, as `curl -d` does by default. No form looks like JSON.
fn json_as_form(raw: &[u8]) -> Option<Parsed> {
    if looks_like_json(raw) { parse_json(raw).ok() } else { None }
}

/// Returns whether the body may be JSON with several values.
fn looks_like_json(raw: &[u8]) -> bool {
    matches!(raw.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn parse_form(raw: &[u8]) -> ApiResult<Parsed> {
    let fields = form_urlencoded::parse(raw).into_owned().map(|(name, value)| (name, Value::from(value)));
    form(fields.take(MAX_FIELDS + 1).collect())
}

fn form(fields: Map<String, Value>) -> ApiResult<Parsed> {
    if fields.len() > MAX_FIELDS {
        return Err(too_large(format_args!("{MAX_FIELDS} fields")));
    }
    Ok(Parsed::Json(Value::Object(fields)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderName;

    use super::*;

    async fn parsed(pairs: &[(&'static str, &str)], body: impl Into<Body>) -> Result<Parsed, Code> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        parse(&headers, body.into(), &Size::default()).await.map_err(|error| error.code())
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn values_are_counted_before_they_are_made() {
        for (json, values) in [
            ("[1, 2, 3]", 4),
            (r#"{"a": 1, "b": {"c": [true, null]}}"#, 6),
            (r##"["a, b", "\\", "#[", "\", {"]"##, 5),
        ] {
            assert_eq!(values_in(json.as_bytes()), values, "{json}");
        }
    }

    #[tokio::test]
    async fn json_may_have_so_many_values_and_no_more() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        let with = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
        assert!(parsed(&[JSON], with(MAX_VALUES)).await.is_ok());
        assert_eq!(parsed(&[JSON], with(MAX_VALUES + 1)).await, Err(Code::RequestEntityTooLarge));
        // In a form, and in a string, these are only commas.
        let commas = ",".repeat(MAX_VALUES + 1);
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert!(parsed(&[form], format!("description={commas}")).await.is_ok());
        assert!(parsed(&[JSON], format!("[\"{commas}\"]")).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_is_parsed_by_its_type() {
        let expected = Ok(Parsed::Json(serde_json::json!({"a": "1"})));
        assert_eq!(parsed(&[JSON], r#"{"a":"1"}"#).await, expected);
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(parsed(&[form], "a=1").await, expected);
        assert_eq!(parsed(&[form], " {\"a\":\"1\"}").await, expected);
        assert_eq!(parsed(&[form], "[1]").await, Ok(Parsed::Json(serde_json::json!([1]))));
        for (text, name) in [("{a}=1", "{a}"), ("[a]=1", "[a]"), ("{\"a\":", "{\"a\":")] {
            let Ok(Parsed::Json(value)) = parsed(&[form], text).await else { panic!("{text}") };
            assert!(value.as_object().unwrap().contains_key(name), "{text}");
        }
        for other in ["text/csv", "multipart/form-data; boundary=X"] {
            assert_eq!(parsed(&[("content-type", other)], "a,b").await, Ok(Parsed::Other));
        }
        assert_eq!(parsed(&[], r#"{"a":1}"#).await, Ok(Parsed::Absent));
        assert_eq!(parsed(&[JSON], "").await, Ok(Parsed::Absent));
    }

    #[tokio::test]
    async fn a_broken_body_has_a_code() {
        for body in ["{", "{\"a\":1} x", "\u{0}", "nul"] {
            assert_eq!(parsed(&[JSON], body).await, Err(Code::InvalidContent), "{body:?}");
        }
        assert_eq!(parsed(&[JSON], vec![b'"', 0xff, b'"']).await, Err(Code::InvalidContent));
        assert_eq!(parsed(&[JSON], "[".repeat(100_000)).await, Err(Code::InvalidContent));
        assert_eq!(parsed(&[JSON, ("content-md5", "AAAA")], "{}").await, Err(Code::BadDigest));
        assert_eq!(parsed(&[JSON, ("content-encoding", "br")], "{}").await, Err(Code::InvalidContent));
        assert_eq!(parsed(&[JSON, ("content-encoding", "gzip")], "{}").await, Err(Code::InvalidContent));
        assert_eq!(parsed(&[JSON], " ".repeat(MAX_BODY + 1)).await, Err(Code::RequestEntityTooLarge));
    }

    #[tokio::test]
    async fn a_compressed_body_is_bounded_by_what_it_becomes() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let headers = [JSON, ("content-encoding", "gzip")];
        assert_eq!(parsed(&headers, gzip(b"{}")).await, Ok(Parsed::Json(serde_json::json!({}))));
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert_eq!(parsed(&headers, bomb).await, Err(Code::RequestEntityTooLarge));
    }
}
