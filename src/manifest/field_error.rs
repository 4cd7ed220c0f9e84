// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A problem with one member of a manifest or one parameter of a request.

use serde::Serialize;

use super::names::closed_set;

closed_set! {
    /// The `code` of an entry in the `errors` array of an error body.
    pub enum FieldCode: "code" {
        /// A required member or parameter is absent.
        MissingParameter = "MissingParameter",
        /// A required parameter is absent, for the few parameters where 4.13.1 uses this code.
        Missing = "Missing",
        /// The format or the value is wrong, or the member is unknown.
        Invalid = "Invalid",
        /// The member exists, but may not be set here.
        NotAllowed = "NotAllowed",
        /// A malformed `alias` of an LXD image; nothing else uses this code.
        InvalidParameter = "InvalidParameter",
    }
}

/// One entry of the `errors` array of a `ValidationFailed` or `InvalidParameter` body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The member or parameter, e.g. `name` or `requirements.brand`.
    pub field: String,
    /// What kind of problem it is.
    pub code: FieldCode,
    /// What a valid value would be, where the code does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl FieldError {
    /// A problem without a message.
    pub fn new(field: impl Into<String>, code: FieldCode) -> Self {
        Self { field: field.into(), code, message: None }
    }

    /// The member is required and absent.
    pub fn missing(field: impl Into<String>) -> Self {
        Self::new(field, FieldCode::MissingParameter)
    }

    /// The member has a wrong value.
    pub fn invalid(field: impl Into<String>) -> Self {
        Self::new(field, FieldCode::Invalid)
    }

    /// The member may not be set here.
    pub fn not_allowed(field: impl Into<String>) -> Self {
        Self::new(field, FieldCode::NotAllowed)
    }

    /// Adds a message to the problem.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_message_has_two_members() {
        let plain = serde_json::to_string(&FieldError::missing("name")).unwrap();
        assert_eq!(plain, r#"{"field":"name","code":"MissingParameter"}"#);
        let told = serde_json::to_string(&FieldError::invalid("v").because("not a number")).unwrap();
        assert_eq!(told, r#"{"field":"v","code":"Invalid","message":"not a number"}"#);
    }
}
