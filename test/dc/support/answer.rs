// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers of the server.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Method and target of the request, for failure messages.
    pub(crate) what: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The body of an error.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    /// `field` and `code` of each entry of `errors`.
    pub(crate) fields: Vec<(String, String)>,
}

impl Answer {
    /// Returns the value of a header that must occur at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the JSON of a successful answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Checks that the answer is this error, in the form of all errors.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Refusal {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        let message = body["message"].as_str().unwrap_or_else(|| panic!("no message: {self:?}")).to_owned();
        let has_fields = matches!(code, "ValidationFailed" | "InvalidParameter");
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[_] = if has_fields { &["code", "message", "errors"] } else { &["code", "message"] };
        assert_eq!(members, expected, "{self:?}");
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let entries = body["errors"].as_array().into_iter().flatten();
        Refusal {
            message,
            fields: entries.map(|entry| (text(entry, "field"), text(entry, "code"))).collect(),
        }
    }

    /// Checks that the answer is this error and names only this field.
    #[track_caller]
    pub(crate) fn refused_field(&self, code: &str, field: &str, field_code: &str) {
        let refusal = self.refused(422, code);
        assert_eq!(refusal.fields, [(field.to_owned(), field_code.to_owned())], "{self:?}");
    }

    /// Checks that there is no such image, or none that the caller may see.
    #[track_caller]
    pub(crate) fn not_found(&self) {
        self.refused(404, "ResourceNotFound");
    }

    /// Checks that the answer is an empty 204.
    #[track_caller]
    pub(crate) fn gone(&self) {
        assert_eq!((self.status, self.body.len()), (204, 0), "{self:?}");
    }
}
