// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The text of an image's configuration, made again from the JSON that sdc-docker keeps of it.

use serde_json::Value;

use crate::import::registry::Digest;
use crate::manifest::json::{self, JsValue};

/// Returns the compact text of `config` that has this digest: as `JSON.stringify` writes it, or as programs in Go do, which
/// write some characters as escapes, and some of which end it with a newline.
pub(super) fn config_text(config: &Value, digest: Digest) -> Option<String> {
    let text = json::compact(&JsValue(config)).ok()?;
    let with_escapes = escaped(&text);
    let forms = [text, with_escapes].into_iter().flat_map(|text| [text.clone(), text + "\n"]);
    forms.into_iter().find(|text| Digest::of(text.as_bytes()) == digest)
}

/// Replaces the characters that programs in Go escape. In compact JSON they are in strings only.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped += &format!("\\u{:04x}", u32::from(c)),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(original: &str) -> Option<String> {
        let config: Value = serde_json::from_str(original).unwrap();
        config_text(&config, Digest::of(original.as_bytes()))
    }

    #[test]
    fn a_compact_text_is_found_again() {
        for text in [
            r#"{"z":1,"a":[],"n":1.5,"t":"a && b <c>"}"#,
            r#"{"z":1,"a":[],"t":"a \u0026\u0026 b \u003cc\u003e \u2028\u2029"}"#,
            "{\"a\":\"\\u0026\"}\n",
            "{}\n",
        ] {
            assert_eq!(text_of(text).as_deref(), Some(text));
        }
        assert_eq!(text_of(r#"{"a": 1}"#), None);
        assert_eq!(text_of(r#"{"a":1.0}"#), None);
    }
}
