// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decoded query pairs, read by name.

use crate::manifest::FieldError;

/// The pairs of a query string in their order, decoded.
///
/// Node.js IMGAPI turns a repeated parameter into an array and a bracketed one (`owner[a]=b`) into an object, and
/// crashes on several of these values. Here they give an error that names the parameter.
pub(super) struct Params<'a>(pub(super) &'a [(String, String)]);

impl<'a> Params<'a> {
    /// Returns the only value of a parameter.
    pub(super) fn one(&self, name: &str) -> Result<Option<&'a str>, FieldError> {
        let values = self.many(name)?;
        match values.as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(FieldError::invalid(name).because("given more than once")),
        }
    }

    /// Returns every value of a parameter that may be repeated.
    pub(super) fn many(&self, name: &str) -> Result<Vec<&'a str>, FieldError> {
        let bracketed = |given: &str| given.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
        if self.0.iter().any(|(given, _)| bracketed(given)) {
            return Err(FieldError::invalid(name).because("must be a single value"));
        }
        Ok(self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect())
    }

    /// Returns the parameters whose names begin with a prefix. The names are returned without the prefix; each may occur once.
    pub(super) fn prefixed(&self, prefix: &str) -> Result<Vec<(&'a str, &'a str)>, FieldError> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for (given, value) in self.0 {
            let Some(key) = given.strip_prefix(prefix) else { continue };
            if let Some((before, _)) = key.split_once('[') {
                let name = format!("{prefix}{before}");
                return Err(FieldError::invalid(name).because("must be a single value"));
            }
            if found.iter().any(|(seen, _)| *seen == key) {
                return Err(FieldError::invalid(given.as_str()).because("given more than once"));
            }
            found.push((key, value));
        }
        Ok(found)
    }
}
