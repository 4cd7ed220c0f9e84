// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The two stored forms of tags: the object as submitted (`tagsObj`), and the list that searches use (`tags`).

use serde_json::{Map, Value};

use super::coerce;
use super::json::number_text;

/// The longest tag value in the search list, in UTF-16 code units. Longer values are listed as empty.
const MAX_LISTED_VALUE: usize = 100;

/// Returns the element of the search list for a tag with a string value.
pub fn listed(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// Returns the search list of a tags object: `key=value` for strings, numbers and booleans, `key=` for other values.
pub fn search_list(tags: &Map<String, Value>) -> Vec<String> {
    tags.iter().map(|(key, value)| listed(key, &value_text(value))).collect()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) if coerce::utf16_len(text) <= MAX_LISTED_VALUE => text.clone(),
        Value::Number(number) => number_text(number),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

/// Returns the tags object of a legacy record, which has only the list. `None` if an element is not `key=value`.
pub fn object_of_list(list: &Value) -> Option<Map<String, Value>> {
    let elements = list.as_array()?;
    elements
        .iter()
        .map(|element| {
            let (key, value) = element.as_str()?.split_once('=')?;
            Some((key.to_owned(), Value::from(value)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_numbers_and_booleans_are_listed_with_their_value() {
        let tags =
            json!({"str": "bar", "num": 42.0, "bool": true, "obj": {"a": 1}, "nil": null, "eq": "a=b"});
        assert_eq!(
            search_list(tags.as_object().unwrap()),
            ["str=bar", "num=42", "bool=true", "obj=", "nil=", "eq=a=b"]
        );
    }

    #[test]
    fn a_value_over_100_units_is_listed_empty() {
        let tags = json!({"at": "x".repeat(100), "over": "x".repeat(101), "wide": "\u{1F600}".repeat(51)});
        let list = search_list(tags.as_object().unwrap());
        assert_eq!(list, [format!("at={}", "x".repeat(100)), "over=".to_owned(), "wide=".to_owned()]);
    }

    #[test]
    fn a_list_becomes_an_object_split_at_the_first_equals_sign() {
        let object = object_of_list(&json!(["a=1", "b=x=y", "c="])).unwrap();
        assert_eq!(Value::Object(object), json!({"a": "1", "b": "x=y", "c": ""}));
        assert!(object_of_list(&json!(["a"])).is_none());
        assert!(object_of_list(&json!([1])).is_none());
        assert!(object_of_list(&json!("a=1")).is_none());
    }
}
