// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules for every answer, so that no row has to repeat them.

use serde_json::Value;
use sha1::{Digest, Sha1};

use super::answer::Answer;

/// Headers that every answer has.
const EVERYWHERE: [&str; 5] = ["date", "server", "x-request-id", "x-response-time", "x-server-name"];

/// Checks an answer. `reference` is for 4.13.1, whose answers lack some headers if there is no route.
pub(crate) fn check(answer: &Answer, reference: bool) -> Result<(), String> {
    if !reference && let Some(name) = EVERYWHERE.iter().find(|name| answer.header(name).is_none()) {
        return Err(format!("{name} is missing"));
    }
    if !answer.is_json() || answer.body.is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
    let pretty = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?;
    if pretty.as_bytes() != answer.body {
        return Err("the JSON is not indented by two, without an end of line".to_owned());
    }
    if answer.header("content-length").is_none() {
        return Err("JSON without a Content-Length".to_owned());
    }
    if answer.status >= 400 { check_error(&value) } else { check_tag(answer, &value) }
}

fn check_error(value: &Value) -> Result<(), String> {
    let members: Vec<_> = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let has_fields = matches!(value["code"].as_str(), Some("ValidationFailed" | "InvalidParameter"));
    let expected: &[_] = if has_fields { &["code", "message", "errors"] } else { &["code", "message"] };
    if members != expected || !value["message"].is_string() {
        return Err(format!("an error has {expected:?}, not {members:?}"));
    }
    let entries = value["errors"].as_array().into_iter().flatten();
    let mut bad = entries.filter(|entry| !entry["field"].is_string() || !entry["code"].is_string());
    bad.next().map_or(Ok(()), |entry| Err(format!("{entry} has no field or no code")))
}

/// Checks the `ETag` of an image: it is the SHA-1 of the image's compact JSON.
fn check_tag(answer: &Answer, value: &Value) -> Result<(), String> {
    let Some(tag) = answer.header("etag").filter(|_| value.is_object()) else { return Ok(()) };
    let expected = hex::encode(Sha1::digest(value.to_string()));
    if tag == expected { Ok(()) } else { Err(format!("the tag is {tag}, not {expected}")) }
}
