// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The audit record: one per finished request, in the form that restify's audit logger gave it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ErrorRecord, Json};
use super::mask::{MASK, is_secret_header, is_secret_name, mask_host, mask_url, names_a_host};

/// Longer bodies, in bytes, are replaced by a marker, so that a record stays a single `write`.
const MAX_BODY: usize = 64 << 10;

/// The content of an audit record. [`Audit::write`] masks credentials; give it the plain values.
///
/// GET and HEAD of `/ping` and of paths below `/docs/` are not audited. The caller decides that.
#[derive(Debug)]
pub struct Audit<'a> {
    /// The id of the request, which its other log records have, too.
    pub req_id: &'a str,
    /// The route's name (`getimage`); `None` if no route matched.
    pub route: Option<&'a str>,
    /// The query parameter `action`.
    pub action: Option<&'a str>,
    /// The authenticated user of a standalone server.
    pub remote_user: Option<&'a str>,
    /// The client's end of the TCP connection.
    pub peer: Option<SocketAddr>,
    /// The request.
    pub request: AuditRequest<'a>,
    /// The response.
    pub response: AuditResponse<'a>,
    /// The error that led to the response.
    pub err: Option<&'a ErrorRecord>,
    /// The time from the head of the request to the end of the response.
    pub latency: Duration,
}

/// The request in an [`Audit`].
#[derive(Debug)]
pub struct AuditRequest<'a> {
    /// Decoded query parameters; `None` if no route matched.
    pub query: Option<&'a [(String, String)]>,
    /// The method as received.
    pub method: &'a str,
    /// The request target as received.
    pub url: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The HTTP version.
    pub http_version: Version,
    /// The header `accept-version`, or `~1`.
    pub api_version: &'a str,
    /// The body, if it was JSON and was read completely.
    pub body: Option<&'a [u8]>,
    /// The name and duration of each step. Without steps the latency is recorded as `handler-0`.
    pub timers: &'a [(&'a str, Duration)],
}

/// The response in an [`Audit`].
#[derive(Debug)]
pub struct AuditResponse<'a> {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body, if it is JSON and was not streamed.
    pub body: Option<&'a [u8]>,
}

impl Audit<'_> {
    /// Returns about how many bytes the record is made from, which determines the cost of writing it.
    pub fn size(&self) -> usize {
        let body = |body: Option<&[u8]>| body.map_or(0, <[u8]>::len).min(MAX_BODY);
        let headers = |headers: &HeaderMap| {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
        };
        let (request, response) = (&self.request, &self.response);
        // The query occurs twice in the record.
        2 * request.url.len()
            + headers(request.headers)
            + headers(response.headers)
            + body(request.body)
            + body(response.body)
    }

    /// Writes the record at level info. The bodies of a successful GET are left out.
    pub fn write(&self) {
        let request = RequestRecord { audit: self, body: self.body(self.request.body) };
        let response = ResponseRecord { response: &self.response, body: self.body(self.response.body) };
        tracing::info!(
            req_id = self.req_id,
            route.json = %Json(&self.route),
            action = self.action,
            remoteUser = self.remote_user,
            audit = true,
            remoteAddress = self.peer.map(|peer| peer.ip().to_canonical().to_string()),
            remotePort = self.peer.map(|peer| peer.port()),
            req.json = %Json(&request),
            res.json = %Json(&response),
            err.json = self.err.map(tracing::field::display),
            latency = u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX),
            _audit = true,
            "handled: {}",
            self.response.status
        );
    }

    fn body(&self, body: Option<&[u8]>) -> Option<Box<RawValue>> {
        let quiet = self.request.method == "GET" && (200..300).contains(&self.response.status);
        body.filter(|body| !quiet && !body.is_empty()).and_then(body_record)
    }
}

/// Returns a body as a JSON value: unchanged if it is JSON, otherwise as a string, or a marker if it is too long.
fn body_record(body: &[u8]) -> Option<Box<RawValue>> {
    if body.len() > MAX_BODY {
        return to_raw(&format!("body of {} bytes left out", body.len()));
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            mask_value(&mut value);
            to_raw(&value)
        }
        Err(_) => to_raw(&*mask_url(&String::from_utf8_lossy(body))),
    }
}

fn to_raw<T: Serialize + ?Sized>(value: &T) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// Masks URLs, and the values of members with secret names unless they are booleans, at any depth (`serde_json` limits
/// the depth to 128).
fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask_url(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_value),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Bool(_) | Value::Null => {}
                    _ if is_secret_name(name) => *member = Value::from(MASK),
                    _ => mask_value(member),
                }
            }
        }
        _ => {}
    }
}

struct RequestRecord<'a> {
    audit: &'a Audit<'a>,
    body: Option<Box<RawValue>>,
}

impl Serialize for RequestRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = &self.audit.request;
        let mut map = serializer.serialize_map(None)?;
        match request.query {
            Some(query) => map.serialize_entry("query", &Query(query))?,
            None => map.serialize_entry("query", "")?,
        }
        map.serialize_entry("method", request.method)?;
        map.serialize_entry("url", &mask_url(request.url))?;
        map.serialize_entry("headers", &Headers { headers: request.headers, numeric_length: false })?;
        map.serialize_entry("httpVersion", http_version(request.http_version))?;
        map.serialize_entry("trailers", &Query(&[]))?;
        map.serialize_entry("version", request.api_version)?;
        if let Some(body) = &self.body {
            map.serialize_entry("body", body)?;
        }
        map.serialize_entry("timers", &Timers(self.audit))?;
        map.end()
    }
}

struct ResponseRecord<'a> {
    response: &'a AuditResponse<'a>,
    body: Option<Box<RawValue>>,
}

impl Serialize for ResponseRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("statusCode", &self.response.status)?;
        map.serialize_entry("headers", &Headers { headers: self.response.headers, numeric_length: true })?;
        map.serialize_entry("trailer", &false)?;
        if let Some(body) = &self.body {
            map.serialize_entry("body", body)?;
        }
        map.end()
    }
}

/// Parameters as restify parses them: a repeated one becomes an array.
struct Query<'a>(&'a [(String, String)]);

impl Serialize for Query<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut places = HashMap::new();
        let mut parameters: Vec<(&str, Vec<Cow<'_, str>>)> = Vec::new();
        for (name, value) in self.0 {
            let masked = if is_secret_name(name) { MASK.into() } else { mask_url(value) };
            let place = *places.entry(name.as_str()).or_insert(parameters.len());
            match parameters.get_mut(place) {
                Some((_, values)) => values.push(masked),
                None => parameters.push((name, vec![masked])),
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, values) in &parameters {
            let name = mask_url(name);
            match values.as_slice() {
                [single] => map.serialize_entry(&name, single)?,
                several => map.serialize_entry(&name, several)?,
            }
        }
        map.end()
    }
}

struct Headers<'a> {
    headers: &'a HeaderMap,
    /// Node.js writes the response's `content-length` as a number.
    numeric_length: bool,
}

impl Headers<'_> {
    fn value(&self, name: &HeaderName) -> String {
        if is_secret_header(name.as_str()) {
            return MASK.to_owned();
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let values: Vec<_> = self.headers.get_all(name).iter().map(text).collect();
        let joined = values.join(", ");
        let mask = if names_a_host(name.as_str()) { mask_host } else { mask_url };
        match mask(&joined) {
            Cow::Borrowed(_) => joined,
            Cow::Owned(masked) => masked,
        }
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.headers.keys_len()))?;
        for name in self.headers.keys() {
            let value = self.value(name);
            match value.parse::<u64>() {
                Ok(length) if self.numeric_length && name == "content-length" => {
                    map.serialize_entry(name.as_str(), &length)?;
                }
                _ => map.serialize_entry(name.as_str(), &value)?,
            }
        }
        map.end()
    }
}

/// The duration of each step in microseconds.
struct Timers<'a>(&'a Audit<'a>);

impl Serialize for Timers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut map = serializer.serialize_map(None)?;
        if self.0.request.timers.is_empty() {
            map.serialize_entry("handler-0", &micros(self.0.latency))?;
        }
        for (name, time) in self.0.request.timers {
            map.serialize_entry(name, &micros(*time))?;
        }
        map.end()
    }
}

fn http_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
