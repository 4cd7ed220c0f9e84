// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Positional arguments, checked as by Moray's JSON schemas.

use serde_json::{Map, Value};

use super::options::Options;
use crate::moray::error::{MorayError, Result};

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct Args<'a> {
    method: &'static str,
    items: &'a [Value],
}

impl<'a> Args<'a> {
    /// Takes the arguments. Fails unless there are exactly `count`.
    pub(super) fn new(method: &'static str, items: &'a [Value], count: usize) -> Result<Self> {
        if items.len() == count {
            return Ok(Self { method, items });
        }
        let plural = if count == 1 { "" } else { "s" };
        Err(MorayError::Invocation(format!("{method} expects {count} argument{plural}")))
    }

    fn refuse(&self, at: usize, name: &str, kind: &str, why: &str) -> MorayError {
        let method = self.method;
        MorayError::Invocation(format!("{method} expects \"{name}\" (args[{at}]) to be {kind}: {why}"))
    }

    /// Returns a text that is not empty.
    pub(super) fn string(&self, at: usize, name: &str) -> Result<&'a str> {
        let why = match &self.items[at] {
            Value::String(text) if !text.is_empty() => return Ok(text),
            Value::String(_) => format!("{name} should NOT be shorter than 1 characters"),
            _ => format!("{name} should be string"),
        };
        Err(self.refuse(at, name, "a nonempty string", &why))
    }

    /// Returns an object.
    pub(super) fn object(&self, at: usize, name: &str) -> Result<&'a Map<String, Value>> {
        check_object(&self.items[at], name).map_err(|why| self.refuse(at, name, "an object", &why))
    }

    /// Returns an array.
    pub(super) fn array(&self, at: usize, name: &str) -> Result<&'a [Value]> {
        let array = self.items[at].as_array().map(Vec::as_slice);
        array.ok_or_else(|| self.refuse(at, name, "an array", &format!("{name} should be array")))
    }

    /// Returns an integer of at least zero.
    pub(super) fn integer(&self, at: usize, name: &str) -> Result<i64> {
        let integer = self.items[at].as_i64().filter(|integer| *integer >= 0);
        integer.ok_or_else(|| {
            self.refuse(at, name, "a nonnegative integer", &format!("{name} should be integer"))
        })
    }

    /// Returns the requests of a batch, each of which must be an object.
    pub(super) fn requests(&self, at: usize) -> Result<Vec<&'a Map<String, Value>>> {
        let refuse = |why: &str| self.refuse(at, "requests", "an array of valid request objects", why);
        let Value::Array(items) = &self.items[at] else { return Err(refuse("requests should be array")) };
        items
            .iter()
            .enumerate()
            .map(|(i, item)| check_object(item, &format!("requests[{i}]")).map_err(|why| refuse(&why)))
            .collect()
    }

    /// Returns the error for an invalid request of a batch.
    pub(super) fn bad_request(&self, why: &str) -> MorayError {
        self.refuse(0, "requests", "an array of valid request objects", why)
    }

    /// Parses the options.
    pub(super) fn options(&self, at: usize) -> Result<Options> {
        check_object(&self.items[at], "options")
            .and_then(|options| Options::parse(options, "options"))
            .map_err(|why| self.refuse(at, "options", "a valid options object", &why))
    }
}

/// Returns an object. It must have no property called `hasOwnProperty`, which would make Moray's own code fail.
pub(super) fn check_object<'a>(
    value: &'a Value,
    name: &str,
) -> std::result::Result<&'a Map<String, Value>, String> {
    match value {
        Value::Object(object) if object.contains_key("hasOwnProperty") => {
            Err(format!("{name}.hasOwnProperty should NOT be valid"))
        }
        Value::Object(object) => Ok(object),
        _ => Err(format!("{name} should be object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_counts_and_types_say_what_was_expected() {
        let items = [json!("b"), json!(""), json!({"hasOwnProperty": 1}), json!({"limit": null})];
        assert_eq!(
            Args::new("putObject", &items, 3).unwrap_err().to_string(),
            "putObject expects 3 arguments"
        );
        assert_eq!(Args::new("ping", &items, 1).unwrap_err().to_string(), "ping expects 1 argument");
        let args = Args::new("putObject", &items, 4).unwrap();
        assert_eq!(args.string(0, "bucket").unwrap(), "b");
        let message = args.string(1, "key").unwrap_err().to_string();
        assert!(
            message.starts_with("putObject expects \"key\" (args[1]) to be a nonempty string: "),
            "{message}"
        );
        assert!(args.object(2, "value").is_err());
        assert_eq!(args.options(3).unwrap_err().name(), "InvocationError");
    }
}
