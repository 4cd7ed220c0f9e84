// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads typed values, and collects every problem instead of stopping at the first.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::Problem;

/// Reads members of one JSON object; `prefix` is the dotted path to it, for messages.
pub(super) struct Reader<'a> {
    object: Cow<'a, Map<String, Value>>,
    prefix: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, problems: &'a mut Vec<Problem>) -> Self {
        Reader { object: Cow::Borrowed(object), prefix: String::new(), problems }
    }

    /// Returns a reader of the object under `key`. A missing object is read as empty, so that its required members are
    /// reported by name.
    pub(super) fn section(&mut self, key: &str) -> Reader<'_> {
        let prefix = format!("{}{key}.", self.prefix);
        let object = match self.value(key) {
            Some(Value::Object(object)) => Cow::Owned(object.clone()),
            None => Cow::default(),
            Some(_) => {
                self.problem(key, "must be an object");
                Cow::default()
            }
        };
        Reader { object, prefix, problems: self.problems }
    }

    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { key: format!("{}{key}", self.prefix), message: message.into() });
    }

    /// Returns the value under `key`. A null counts as absent.
    fn value(&self, key: &str) -> Option<&Value> {
        member(&self.object, &self.prefix, key).filter(|value| !value.is_null())
    }

    /// Reads a string; `None` if it is absent or empty, because templates render missing metadata as an empty string.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key) {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.problem(key, "must be a string");
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> String {
        let before = self.problems.len();
        match self.text(key) {
            Some(text) => text,
            None => {
                if self.problems.len() == before {
                    self.problem(key, "is required");
                }
                String::new()
            }
        }
    }

    /// Reads an integer from 0 to `max`.
    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        match self.value(key) {
            None => None,
            Some(value) => match value.as_u64() {
                Some(number) if range.contains(&number) => Some(number),
                _ => {
                    self.problem(
                        key,
                        format!("must be an integer from {} to {}", range.start(), range.end()),
                    );
                    None
                }
            },
        }
    }

    /// Reads a string or an integer, as a string.
    pub(super) fn text_or_integer(&mut self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
            _ => self.text(key),
        }
    }

    /// Parses the string under `key`. If that fails, the problem says what was `expected`.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = self.text(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problem(key, format!("must be {expected}, not {text:?}"));
        }
        parsed
    }

    /// Reads the array of strings under `key`; empty if absent.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let texts = match self.value(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            Some(_) => None,
        };
        texts.unwrap_or_else(|| {
            self.problem(key, "must be an array of strings");
            Vec::new()
        })
    }

    /// Reads the array of objects under `key`; empty if absent.
    pub(super) fn objects(&mut self, key: &str) -> Vec<Map<String, Value>> {
        let objects = match self.value(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_object().cloned()).collect(),
            Some(_) => None,
        };
        objects.unwrap_or_else(|| {
            self.problem(key, "must be an array of objects");
            Vec::new()
        })
    }

    /// Reads `true` or `false`; `false` if absent.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        match self.value(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            // Templates render metadata, whose values are strings.
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text.is_empty() || text == "false" => false,
            Some(_) => {
                self.problem(key, "must be true or false");
                false
            }
        }
    }

    /// Returns the names of all members.
    pub(super) fn keys(&self) -> Vec<String> {
        self.object.keys().cloned().collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }
}

/// Returns a member of an object at the dotted path `prefix`. Every value of the configuration is read by this
/// function, so that the tests can record all keys.
pub(super) fn member<'a>(object: &'a Map<String, Value>, prefix: &str, key: &str) -> Option<&'a Value> {
    #[cfg(test)]
    KEYS_READ.with_borrow_mut(|keys| keys.insert(format!("{prefix}{key}")));
    #[cfg(not(test))]
    let _ = prefix;
    object.get(key)
}

#[cfg(test)]
thread_local! {
    /// The dotted paths of all keys that this thread has read.
    pub(super) static KEYS_READ: std::cell::RefCell<std::collections::BTreeSet<String>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}
