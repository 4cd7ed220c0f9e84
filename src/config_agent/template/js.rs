// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! JavaScript's treatment of JSON values, as far as templates depend on it.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

/// Returns whether `trim` and `\s` treat the character as white space.
pub(super) fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// Returns whether a section over `value` is rendered.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// Returns the member `name` of `value`. Objects and arrays have members.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Value::Object(members) => members.get(name).map(Cow::Borrowed),
        Value::Array(items) if name == "length" => Some(Cow::Owned(items.len().into())),
        Value::Array(items) => items.get(index(name)? as usize).map(Cow::Borrowed),
        _ => None,
    }
}

/// Returns the text that a value is rendered as; `None` for null.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::Number(value) => Cow::Owned(number(value)),
        Value::Array(items) => Cow::Owned(joined(items)),
        Value::Object(members) => {
            let mut json = String::new();
            object(members, &mut json);
            Cow::Owned(json)
        }
    })
}

/// `String([...])`.
fn joined(items: &[Value]) -> String {
    let texts = items.iter().map(|item| match item {
        Value::Object(_) => Cow::Borrowed("[object Object]"),
        item => text(item).unwrap_or_default(),
    });
    texts.collect::<Vec<_>>().join(",")
}

fn number(number: &Number) -> String {
    let number = number.as_f64().unwrap_or_default();
    ryu_js::Buffer::new().format(number).to_owned()
}

/// `JSON.stringify`.
fn json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => out.push_str(&number(value)),
        Value::String(text) => quoted(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => object(members, out),
    }
}

/// Names that are array indexes come first, in ascending order, as in every JavaScript object.
fn object(members: &Map<String, Value>, out: &mut String) {
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by_key(|(name, _)| index(name).map_or(u64::MAX, u64::from));
    out.push('{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quoted(name, out);
        out.push(':');
        json(value, out);
    }
    out.push('}');
}

/// Returns the array index that `name` represents, if it is spelled as JavaScript would spell it.
fn index(name: &str) -> Option<u32> {
    name.parse().ok().filter(|index: &u32| *index < u32::MAX && index.to_string() == name)
}

/// Appends `text` as a JSON string.
pub(super) fn quoted(text: &str, out: &mut String) {
    out.push('"');
    escaped(text, out);
    out.push('"');
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn escaped(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}
