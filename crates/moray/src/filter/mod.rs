// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Filters for `findObjects` and `deleteMany`. They are built from typed parts, so that no value can change their meaning.
//!
//! The text form is RFC 4515 as Moray 2.6 reads it. It differs from LDAP in one point: an escape stands for a character, not for
//! a byte. Characters outside ASCII are therefore written unescaped.

mod attribute;
mod escape;
#[cfg(test)]
mod parser;

use std::fmt;

pub use attribute::{Attribute, InvalidAttribute};
use escape::Escaped;

/// A condition on the objects of a bucket. [`Display`](fmt::Display) writes the text that Moray reads.
///
/// ```
/// use moray::{Attribute, Filter};
///
/// const NAME: Attribute = Attribute::from_static("name");
/// const STATE: Attribute = Attribute::from_static("state");
/// let filter = Filter::all_of([Filter::eq(STATE, "active"), Filter::not(Filter::starts_with(NAME, "a*"))]);
/// assert_eq!(filter.unwrap().to_string(), r"(&(state=active)(!(name=a\2a*)))");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(Attribute),
    Equal(Attribute, String),
    GreaterOrEqual(Attribute, String),
    LessOrEqual(Attribute, String),
    Substring { attribute: Attribute, initial: String, any: Vec<String>, last: String },
}

impl Filter {
    /// All of the conditions hold. Returns `None` if there are no conditions: Moray has no form for that.
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Option<Self> {
        let filters: Vec<_> = filters.into_iter().collect();
        (!filters.is_empty()).then_some(Self(Node::And(filters)))
    }

    /// At least one of the conditions holds. Returns `None` if there are no conditions: Moray has no form for that.
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Option<Self> {
        let filters: Vec<_> = filters.into_iter().collect();
        (!filters.is_empty()).then_some(Self(Node::Or(filters)))
    }

    /// The condition does not hold.
    #[expect(clippy::should_implement_trait, reason = "a constructor like the others, not an operator")]
    pub fn not(filter: Self) -> Self {
        Self(Node::Not(Box::new(filter)))
    }

    /// The attribute has a value.
    pub fn present(attribute: Attribute) -> Self {
        Self(Node::Present(attribute))
    }

    /// The attribute has this value; an array attribute contains it.
    pub fn eq(attribute: Attribute, value: impl Into<String>) -> Self {
        Self(Node::Equal(attribute, value.into()))
    }

    /// The attribute is greater than or equal to this value.
    pub fn ge(attribute: Attribute, value: impl Into<String>) -> Self {
        Self(Node::GreaterOrEqual(attribute, value.into()))
    }

    /// The attribute is less than or equal to this value.
    pub fn le(attribute: Attribute, value: impl Into<String>) -> Self {
        Self(Node::LessOrEqual(attribute, value.into()))
    }

    /// The attribute starts with `prefix`. Array indexes cannot answer it (`NotIndexedError`).
    pub fn starts_with(attribute: Attribute, prefix: impl Into<String>) -> Self {
        Self::substring(attribute, prefix, [], "")
    }

    /// The attribute ends with `suffix`. Array indexes cannot answer it (`NotIndexedError`).
    pub fn ends_with(attribute: Attribute, suffix: impl Into<String>) -> Self {
        Self::substring(attribute, "", [], suffix)
    }

    /// The attribute contains `part`. Array indexes cannot answer it (`NotIndexedError`).
    pub fn contains(attribute: Attribute, part: impl Into<String>) -> Self {
        Self::substring(attribute, "", [part.into()], "")
    }

    /// The attribute starts with `initial`, ends with `last`, and contains the parts of `any` between them in this order. An
    /// empty `initial` or `last` matches anything. Without any part, the attribute must be present.
    pub fn substring(
        attribute: Attribute,
        initial: impl Into<String>,
        any: impl IntoIterator<Item = String>,
        last: impl Into<String>,
    ) -> Self {
        let (initial, last) = (initial.into(), last.into());
        let any: Vec<_> = any.into_iter().collect();
        if initial.is_empty() && any.is_empty() && last.is_empty() {
            return Self::present(attribute);
        }
        Self(Node::Substring { attribute, initial, any, last })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::And(filters) => write_list(f, '&', filters),
            Node::Or(filters) => write_list(f, '|', filters),
            Node::Not(filter) => write!(f, "(!{filter})"),
            Node::Present(attribute) => write!(f, "({attribute}=*)"),
            Node::Equal(attribute, value) => write!(f, "({attribute}={})", Escaped(value)),
            Node::GreaterOrEqual(attribute, value) => write!(f, "({attribute}>={})", Escaped(value)),
            Node::LessOrEqual(attribute, value) => write!(f, "({attribute}<={})", Escaped(value)),
            Node::Substring { attribute, initial, any, last } => {
                write!(f, "({attribute}={}*", Escaped(initial))?;
                for part in any {
                    write!(f, "{}*", Escaped(part))?;
                }
                write!(f, "{})", Escaped(last))
            }
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, operator: char, filters: &[Filter]) -> fmt::Result {
    write!(f, "({operator}")?;
    for filter in filters {
        write!(f, "{filter}")?;
    }
    f.write_str(")")
}
