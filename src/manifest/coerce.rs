// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How JavaScript reads loosely typed values. Records written by Node.js IMGAPI depend on it.

use serde_json::Value;

/// Returns whether JavaScript treats the value as true in a condition.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Reads a boolean, or one of the strings `true` and `false`. Legacy records hold both.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// `Number(text)`. `None` if the result is not a number (`NaN`).
pub(super) fn number_of_text(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return number_of_digits(digits, radix);
        }
    }
    match text {
        "Infinity" | "+Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    // Rust also parses `inf` and `nan`; JavaScript does not.
    let decimal = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if decimal { text.parse().ok() } else { None }
}

fn number_of_digits(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |sum, c| c.to_digit(radix).map(|d| sum * f64::from(radix) + f64::from(d)))
}

/// `Number(value)`, with `None` for `NaN`. Objects and arrays give `None`.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => number_of_text(text),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The largest whole number that a JavaScript number holds exactly, 2^53 - 1.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Returns the integer that a float represents, if JavaScript holds it exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    // The cast is exact, because the range was checked.
    (number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER).then_some(number as i64)
}

/// Returns the length of a string in UTF-16 code units, the unit of every length limit of a manifest.
pub(super) fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_read_from_text_as_javascript_does() {
        for (text, expected) in [
            ("", 0.0),
            (" 12 ", 12.0),
            ("0x10", 16.0),
            ("0b11", 3.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-7", -7.0),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(number_of_text(text), Some(expected), "{text:?}");
        }
        for text in ["abc", "1 2", "0x", "inf", "nan", "NaN", "infinity", "1e", "0xg", "+-1", "."] {
            assert_eq!(number_of_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn truth_follows_javascript() {
        for falsy in [json!(null), json!(false), json!(0), json!(0.0), json!("")] {
            assert!(!truthy(&falsy), "{falsy}");
        }
        for value in [json!(true), json!(-1), json!("0"), json!([]), json!({})] {
            assert!(truthy(&value), "{value}");
        }
    }

    #[test]
    fn lengths_count_utf16_units() {
        assert_eq!(utf16_len("aé\u{1F600}"), 4);
    }

    #[test]
    fn whole_numbers_stop_where_floats_get_coarse() {
        assert_eq!(whole(42.0), Some(42));
        assert_eq!(whole(0.5), None);
        assert_eq!(whole(1e20), None);
        assert_eq!(whole(f64::INFINITY), None);
    }
}
