// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The syntax tree of a filter.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    /// All filters must match.
    And(Vec<Filter>),
    /// At least one filter must match.
    Or(Vec<Filter>),
    /// The filter must not match.
    Not(Box<Filter>),
    /// A test of one attribute.
    Test(Test),
}

/// A test of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// The attribute's name.
    pub(crate) attribute: String,
    /// The condition on its value.
    pub(crate) operation: Operation,
}

/// A condition on an attribute. The parser leaves values as text; they get the type of their index when the filter is translated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    /// `(a=*)`
    Present,
    /// `(a=v)`
    Equal(Value),
    /// `(a>=v)`
    GreaterOrEqual(Value),
    /// `(a<=v)`
    LessOrEqual(Value),
    /// `(a=i*a*f)`
    Substring(Substring),
    /// `(a~=v)`
    Approximate(String),
    /// `(a:rule:=v)`
    Extensible {
        /// The matching rule; empty when none was named.
        rule: String,
        /// The unescaped value.
        value: String,
    },
}

/// The parts of a substring test, which are separated by wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Substring {
    /// Text before the first wildcard, which may be empty.
    pub(crate) initial: String,
    /// Texts between two wildcards.
    pub(crate) any: Vec<String>,
    /// Text after the last wildcard, which may be empty.
    pub(crate) last: String,
}

impl Filter {
    /// Calls `visit` for every test, from left to right.
    pub(crate) fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a Test)) {
        match self {
            Self::And(filters) | Self::Or(filters) => {
                filters.iter().for_each(|filter| filter.for_each_test(visit));
            }
            Self::Not(filter) => filter.for_each_test(visit),
            Self::Test(test) => visit(test),
        }
    }
}

/// Writes the canonical text, with hexadecimal escapes.
impl Display for Filter {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let list = |out: &mut Formatter<'_>, sign: char, filters: &[Self]| {
            write!(out, "({sign}")?;
            filters.iter().try_for_each(|filter| filter.fmt(out))?;
            write!(out, ")")
        };
        match self {
            Self::And(filters) => list(out, '&', filters),
            Self::Or(filters) => list(out, '|', filters),
            Self::Not(filter) => write!(out, "(!{filter})"),
            Self::Test(test) => test.fmt(out),
        }
    }
}

impl Display for Test {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.attribute;
        match &self.operation {
            Operation::Present => write!(out, "({name}=*)"),
            Operation::Equal(value) => write!(out, "({name}={})", Escaped(&plain(value))),
            Operation::GreaterOrEqual(value) => write!(out, "({name}>={})", Escaped(&plain(value))),
            Operation::LessOrEqual(value) => write!(out, "({name}<={})", Escaped(&plain(value))),
            Operation::Approximate(value) => write!(out, "({name}~={})", Escaped(value)),
            Operation::Extensible { rule, value } if rule.is_empty() => {
                write!(out, "({name}:={})", Escaped(value))
            }
            Operation::Extensible { rule, value } => write!(out, "({name}:{rule}:={})", Escaped(value)),
            Operation::Substring(parts) => {
                write!(out, "({name}={}*", Escaped(&parts.initial))?;
                parts.any.iter().try_for_each(|part| write!(out, "{}*", Escaped(part)))?;
                write!(out, "{})", Escaped(&parts.last))
            }
        }
    }
}

fn plain(value: &Value) -> String {
    crate::moray::js::to_text(value)
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '(' | ')' | '*' | '\\' => write!(out, "\\{:02x}", u32::from(c)),
            c => write!(out, "{c}"),
        })
    }
}
