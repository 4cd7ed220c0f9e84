// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Values for `.json` fields: any serialisable value, and the `err` object of an error.

use std::error::Error;
use std::fmt;

use serde::{Serialize, Serializer};

use super::mask::mask_url;

/// The most characters that are quoted from the text of another process.
const MAX_EXCERPT: usize = 500;

/// Shortens a text of another process to one line of bounded length, for operators and clients.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_EXCERPT).collect()
}

/// Returns the message of the innermost source of an error, as an [`excerpt`].
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    excerpt(&cause.to_string())
}

/// Displays a value as compact JSON, for fields whose name ends in `.json`.
///
/// A value that cannot be serialised (a map whose keys are not strings) appears as `null`.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a, T: ?Sized>(pub &'a T);

impl<T: Serialize + ?Sized> fmt::Display for Json<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).unwrap_or_else(|_| "null".to_owned()))
    }
}

/// An error as node-bunyan's `err` serializer writes it: `{"message","name","stack"}`.
///
/// `message` reads `outer: inner` along the chain of sources, `stack` holds one line per error separated by
/// `\nCaused by: `. Credentials in URLs are masked: an error often quotes what it could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRecord {
    name: String,
    chain: Vec<String>,
}

/// Returns the `err` object of an error and its sources, named `Error`.
#[must_use]
pub fn err(error: &(dyn Error + 'static)) -> ErrorRecord {
    let errors = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let chain = errors.map(|error| mask_url(&error.to_string()).into_owned()).collect();
    ErrorRecord { name: "Error".to_owned(), chain }
}

impl ErrorRecord {
    /// Makes the record of an error that exists only as text, such as a panic.
    #[must_use]
    pub fn from_message(name: &str, message: &str) -> ErrorRecord {
        ErrorRecord { name: name.to_owned(), chain: vec![message.to_owned()] }
    }

    /// Sets the class name, for example `InvalidParameterError`.
    #[must_use]
    pub fn named(mut self, name: &str) -> ErrorRecord {
        name.clone_into(&mut self.name);
        self
    }

    /// Returns the message of the whole chain. A source whose text already ends the outer message is not repeated.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = String::new();
        for part in &self.chain {
            if message.is_empty() {
                message.push_str(part);
            } else if !message.ends_with(part.as_str()) {
                message.push_str(": ");
                message.push_str(part);
            }
        }
        message
    }

    fn stack(&self) -> String {
        format!("{}: {}", self.name, self.chain.join("\nCaused by: "))
    }
}

impl Serialize for ErrorRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            message: String,
            name: &'a str,
            stack: String,
        }
        let wire = Wire { message: self.message(), name: &self.name, stack: self.stack() };
        wire.serialize(serializer)
    }
}

impl fmt::Display for ErrorRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Json(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, thiserror::Error)]
    #[error("outer failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_chain_of_causes_is_in_message_and_stack() {
        let record = err(&Outer(std::io::Error::other("inner"))).named("OuterError");
        let value: serde_json::Value = serde_json::from_str(&record.to_string()).unwrap();
        let expected = json!({"message": "outer failed: inner", "name": "OuterError",
            "stack": "OuterError: outer failed\nCaused by: inner"});
        assert_eq!(value, expected);
    }

    #[test]
    fn a_password_that_an_error_quotes_is_masked() {
        let record = err(&Outer(std::io::Error::other("no answer from https://u:S3CRET@h/"))).to_string();
        assert!(!record.contains("S3CRET") && record.contains("https://***@h/"), "{record}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Repeats(#[source] std::io::Error);

    #[test]
    fn a_cause_that_the_message_holds_is_not_repeated() {
        assert_eq!(err(&Repeats(std::io::Error::other("inner"))).message(), "outer: inner");
    }
}
