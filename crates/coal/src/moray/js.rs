// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! JavaScript's conversions of JSON values, as Moray applies them.
//!
//! Moray is a Node.js program, so ECMAScript determines how a value is converted to text or to a number, and how values are
//! compared. Clients see the results.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Implements ECMAScript's `String(value)`.
pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| if item.is_null() { String::new() } else { to_text(item) })
            .collect::<Vec<_>>()
            .join(","),
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(double) => ryu_js::Buffer::new().format_finite(double).to_owned(),
        None => number.to_string(),
    }
}

/// Converts a double to a JSON number. Whole numbers have no fraction, as in `JSON.stringify`. NaN and infinities become null.
pub(crate) fn number(double: f64) -> Value {
    if double.fract() == 0.0 && double.abs() < 9_007_199_254_740_992.0 {
        // The test above ensures that it is in range.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number below 2^53")]
        return Value::from(double as i64);
    }
    Number::from_f64(double).map_or(Value::Null, Value::Number)
}

/// Implements `parseFloat(text)`: the longest numeric prefix; NaN if there is none.
pub(crate) fn parse_float(text: &str) -> f64 {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("Infinity") {
        return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let mut end = 0;
    let (mut digits, mut dot, mut exponent) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                digits = true;
                end = at + 1;
            }
            '+' | '-' if at == 0 || (exponent && matches!(text.as_bytes()[at - 1], b'e' | b'E')) => {}
            '.' if !dot && !exponent => dot = true,
            'e' | 'E' if digits && !exponent => exponent = true,
            _ => break,
        }
    }
    if digits { text[..end].parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// Implements `Number(value)`: the whole text must be a number; empty text is zero.
pub(crate) fn to_number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => text_to_number(text),
        Value::Array(_) | Value::Object(_) => text_to_number(&to_text(value)),
    }
}

fn text_to_number(text: &str) -> f64 {
    let text = text.trim();
    // Rust also parses "inf" and "nan", which are not numbers in ECMAScript.
    if text.is_empty() {
        0.0
    } else if text.contains(['i', 'I', 'n', 'N']) {
        f64::NAN
    } else {
        text.parse().unwrap_or(f64::NAN)
    }
}

/// Returns the order that `<=` and `>=` use: two texts are compared by UTF-16 code unit, everything else as numbers. Returns
/// `None` if one side is not a number.
pub(crate) fn loose_order(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Value::String(left), Value::String(right)) = (left, right) {
        return Some(left.encode_utf16().cmp(right.encode_utf16()));
    }
    to_number(left).partial_cmp(&to_number(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_what_string_would_give() {
        assert_eq!(to_text(&json!(1.0)), "1");
        assert_eq!(to_text(&json!(1.5)), "1.5");
        assert_eq!(to_text(&json!(-0.0)), "0");
        assert_eq!(to_text(&json!(1e21)), "1e+21");
        assert_eq!(to_text(&json!(9_007_199_254_740_993_u64)), "9007199254740992");
        assert_eq!(to_text(&json!(true)), "true");
        assert_eq!(to_text(&json!(["a", null, 2])), "a,,2");
        assert_eq!(to_text(&json!({"a": 1})), "[object Object]");
    }

    #[test]
    fn parse_float_takes_the_longest_prefix() {
        assert_eq!(parse_float("12abc"), 12.0);
        assert_eq!(parse_float("  -1.5e3x"), -1500.0);
        assert_eq!(parse_float("1e"), 1.0);
        assert_eq!(parse_float("3."), 3.0);
        assert!(parse_float("abc").is_nan());
        assert!(parse_float("").is_nan());
        assert!(parse_float("é1").is_nan());
    }

    #[test]
    fn order_is_by_utf16_code_unit() {
        // In UTF-16, U+10000 is D800 DC00 and sorts before U+FFFD. In UTF-8 it sorts after it.
        assert_eq!(loose_order(&json!("\u{10000}"), &json!("\u{fffd}")), Some(Ordering::Less));
        assert_eq!(loose_order(&json!(10), &json!("9")), Some(Ordering::Greater));
        assert_eq!(loose_order(&json!(10), &json!("x")), None);
    }

    #[test]
    fn whole_doubles_become_integers() {
        assert_eq!(number(7.0), json!(7));
        assert_eq!(number(0.5), json!(0.5));
        assert_eq!(number(f64::NAN), Value::Null);
    }
}
