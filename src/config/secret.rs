// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;

use serde_json::{Map, Value};

use crate::telemetry::{MASK, is_secret_name, mask_url};

/// A string that must not be shown: `Debug` masks it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the string itself, for the peer that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A configuration that holds secrets: `Debug` shows it masked.
#[derive(Clone, Default)]
pub(super) struct Masked(pub(super) Map<String, Value>);

impl Masked {
    pub(super) fn masked(&self) -> Value {
        mask(Value::Object(self.0.clone()))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.masked())
    }
}

/// Returns `value` with every secret member, and every password in a URL, replaced by a mask.
fn mask(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| {
                    let secret = value.is_string() && is_secret_name(&name);
                    let value = if secret { Value::from(MASK) } else { mask(value) };
                    (name, value)
                })
                .collect(),
        ),
        Value::String(text) if text.contains("://") => mask_url(&text).into(),
        Value::Array(items) => Value::Array(items.into_iter().map(mask).collect()),
        other => other,
    }
}
