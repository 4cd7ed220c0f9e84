// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names of attributes.

use std::borrow::Cow;
use std::fmt;

/// Name of an attribute in a filter or a sort: an index of the bucket, a member of the value, or an internal field
/// such as `_mtime`.
///
/// A name consists of ASCII letters, digits and underscores. Moray's filters also allow the hyphen. It is excluded here because
/// Moray 2.6 pastes the name of a sort into its SQL, where two hyphens start a comment. No index name can contain a hyphen
/// anyway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute(Cow<'static, str>);

impl Attribute {
    /// Creates a name that is known at compile time.
    ///
    /// # Panics
    ///
    /// Panics if the name is not valid. In a `const`, that is a compile error:
    ///
    /// ```compile_fail
    /// const STATE: moray::Attribute = moray::Attribute::from_static("state)(");
    /// ```
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name.as_bytes()), "invalid attribute name");
        Self(Cow::Borrowed(name))
    }

    /// Creates a name that is known only at run time.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] if the name is empty or contains a character that is not allowed.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidAttribute> {
        let name = name.into();
        if is_valid(name.as_bytes()) { Ok(Self(Cow::Owned(name))) } else { Err(InvalidAttribute) }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name is empty, or contains a character that an attribute name cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid attribute name")]
pub struct InvalidAttribute;

const fn is_valid(name: &[u8]) -> bool {
    let mut index = 0;
    while index < name.len() {
        if !(name[index].is_ascii_alphanumeric() || name[index] == b'_') {
            return false;
        }
        index += 1;
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_change_a_filter_or_a_statement_are_refused() {
        const KEY: Attribute = Attribute::from_static("_key");
        assert_eq!(KEY.as_str(), "_key");
        assert!(Attribute::new("owner2").is_ok());
        for name in ["", "a=b", "a)(b", "a b", "a.b", "a:rule:", "a--", "é", "a~", "a\0"] {
            assert_eq!(Attribute::new(name), Err(InvalidAttribute), "{name:?}");
        }
    }
}
