// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The requests of a batch.

use serde_json::{Map, Value};

use super::args::{Args, check_object};
use super::options::Options;
use crate::moray::error::Result;
use crate::moray::store::{BatchItem, BatchOperation};

/// Checks the requests. `call` contains the options of the call. They take precedence over a request's own, except for `etag` and
/// `headers`.
pub(super) fn items(args: &Args<'_>, call: &Map<String, Value>) -> Result<Vec<BatchItem>> {
    let requests = args.requests(0)?;
    requests
        .iter()
        .enumerate()
        .map(|(at, request)| item(at, request, call).map_err(|why| args.bad_request(&why)))
        .collect()
}

fn item(
    at: usize,
    request: &Map<String, Value>,
    call: &Map<String, Value>,
) -> std::result::Result<BatchItem, String> {
    let path = format!("requests[{at}]");
    let text = |name: &str| match request.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("{path}.{name} should be a nonempty string")),
        None => Err(format!("{path} should have required property '{name}'")),
    };
    let object = |name: &str| match request.get(name) {
        Some(value) => check_object(value, &format!("{path}.{name}")).cloned(),
        None => Err(format!("{path} should have required property '{name}'")),
    };
    let own = if request.contains_key("options") { object("options")? } else { Map::new() };
    let options = Options::parse(&merge(own, call), &format!("{path}.options"))?;
    let operation = match request.get("operation").map(|operation| operation.as_str()) {
        None | Some(Some("put")) => {
            BatchOperation::Put { key: text("key")?, value: object("value")?, expected: options.expected }
        }
        Some(Some("delete")) => BatchOperation::Delete { key: text("key")?, expected: options.expected },
        Some(Some("update")) => BatchOperation::Update {
            fields: object("fields")?,
            filter: text("filter")?,
            options: options.find,
        },
        Some(Some("deleteMany")) => {
            BatchOperation::DeleteMany { filter: text("filter")?, options: options.find }
        }
        Some(_) => {
            return Err(format!("{path}.operation should be equal to one of the allowed values"));
        }
    };
    Ok(BatchItem { bucket: text("bucket")?, operation })
}

fn merge(mut own: Map<String, Value>, call: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in call.iter().filter(|(name, _)| !matches!(name.as_str(), "etag" | "headers")) {
        own.insert(name.clone(), value.clone());
    }
    own
}
