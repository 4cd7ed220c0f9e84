// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! HTTP requests of tasks.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// Timeout of a request.
const DEADLINE: Duration = Duration::from_secs(7_200);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    timeout: Option<u64>,
}

/// Sends the request that the JSON describes. Returns `{"status", "headers", "body"}` or `{"error": {"code", "message"}}`.
pub(super) async fn request(client: &Client, text: &str) -> Value {
    let failed = |code: &str, message: String| json!({"error": {"code": code, "message": message}});
    let request: Request = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => return failed("EINVAL", error.to_string()),
    };
    match exchange(client, request).await {
        Ok(answer) => answer,
        Err(error) => {
            let code = code_of(error.as_ref());
            failed(code, format!("{code}: {error}"))
        }
    }
}

async fn exchange(client: &Client, request: Request) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let limit = request.timeout.map_or(DEADLINE, Duration::from_millis).min(DEADLINE);
    let mut builder =
        client.request(Method::from_bytes(request.method.as_bytes())?, &request.url).timeout(limit);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let response = builder.send().await?;
    let status = response.status().as_u16();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), json!(value.to_str().ok()?))))
        .collect();
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > MAX_ANSWER {
            return Err("the answer is too long".into());
        }
    }
    Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&body)}))
}

/// Returns Node.js's code for an error.
fn code_of(error: &(dyn Error + Send + Sync + 'static)) -> &'static str {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return "ECONNREFUSED";
        }
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
            return "ETIMEDOUT";
        }
        cause = error.source();
    }
    "ECONNRESET"
}
