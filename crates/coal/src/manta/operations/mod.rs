// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The operations, one file for each.

mod delete;
mod get;
mod put_directory;
mod put_metadata;
mod put_object;
mod upload;

use hyper::HeaderMap;
use hyper::body::Incoming;

use super::answer::Answer;
use super::call::{Call, Failure};
use super::error::MantaError;

/// Maximum size of the `m-*` headers of an entry, in bytes.
const MAX_HEADERS: usize = 4 << 10;

/// Does a request.
pub(super) async fn carry_out(call: &Call, body: Incoming) -> Result<Answer, Failure> {
    match call.head.method.as_str() {
        "GET" | "HEAD" => get::get(call).await,
        "DELETE" => delete::delete(call).await,
        "PUT" => match call.json_type() {
            _ if call.is_metadata_update() => put_metadata::put_metadata(call).await,
            Some("directory") => put_directory::put_directory(call).await,
            Some("link") => Err(MantaError::SnaplinksDisabled.into()),
            _ => put_object::put_object(call, body).await,
        },
        other => Err(MantaError::MethodNotAllowed(other.to_owned()).into()),
    }
}

/// Returns the headers to store with an entry: `cache-control`, and up to 4 KiB of `m-*` headers.
fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut size = 0;
    let kept = headers.iter().filter_map(|(name, value)| {
        let (name, value) = (name.as_str(), value.to_str().ok()?);
        if name.starts_with("m-") {
            size += value.len();
        } else if name != "cache-control" {
            return None;
        }
        (size < MAX_HEADERS).then(|| (name.to_owned(), value.to_owned()))
    });
    kept.collect()
}
