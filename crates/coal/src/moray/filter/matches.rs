// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The second pass: like Moray in JavaScript, it matches every row that SQL found again in memory.

use std::borrow::Cow;

use regex::Regex;
use serde_json::{Map, Value};

use super::ast::{Filter, Operation, Substring, Test};
use super::parse::substring_of;
use crate::moray::js;

/// A row as the second pass sees it: the object, and the columns that filters may name.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The stored object, overlaid with its columns.
    pub(crate) value: &'a Map<String, Value>,
    /// `_id`
    pub(crate) id: i64,
    /// `_key`
    pub(crate) key: &'a str,
    /// `_etag`
    pub(crate) etag: &'a str,
    /// `_mtime`
    pub(crate) mtime: i64,
}

impl Subject<'_> {
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        Some(match name {
            "_id" => Cow::Owned(self.id.into()),
            "_key" => Cow::Owned(self.key.into()),
            "_etag" => Cow::Owned(self.etag.into()),
            "_mtime" => Cow::Owned(self.mtime.into()),
            "_txn_snap" => return None,
            _ => Cow::Borrowed(self.value.get(name)?),
        })
    }
}

/// A filter that is prepared for matching many rows.
#[derive(Debug)]
pub(crate) enum Matcher {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test {
        attribute: String,
        check: Check,
    },
    /// The result of the database is final.
    Trusted,
}

/// A condition on one value.
#[derive(Debug)]
pub(crate) enum Check {
    Present,
    Equal(Value),
    GreaterOrEqual(Value),
    LessOrEqual(Value),
    Pattern(Regex),
    Folded(String),
    FoldedPattern(Regex),
    Never,
}

impl Matcher {
    /// Prepares `filter`, whose values are already typed. `trusted` reports whether the database's result is final for an
    /// attribute. Returns `None` if a pattern is too large.
    pub(crate) fn new(filter: &Filter, trusted: &impl Fn(&str) -> bool) -> Option<Self> {
        let list = |filters: &[Filter]| {
            filters.iter().map(|filter| Self::new(filter, trusted)).collect::<Option<Vec<_>>>()
        };
        Some(match filter {
            Filter::And(filters) => Self::All(list(filters)?),
            Filter::Or(filters) => Self::Any(list(filters)?),
            Filter::Not(filter) => Self::Not(Box::new(Self::new(filter, trusted)?)),
            Filter::Test(test) if trusted(&test.attribute) => Self::Trusted,
            Filter::Test(test) => Self::Test { attribute: test.attribute.clone(), check: check(test)? },
        })
    }

    /// Returns whether the row matches.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All(matchers) => matchers.iter().all(|matcher| matcher.matches(subject)),
            Self::Any(matchers) => matchers.iter().any(|matcher| matcher.matches(subject)),
            Self::Not(matcher) => !matcher.matches(subject),
            Self::Trusted => true,
            Self::Test { attribute, check } => match subject.attribute(attribute) {
                None => false,
                Some(value) => check.holds(&value),
            },
        }
    }
}

fn check(test: &Test) -> Option<Check> {
    Some(match &test.operation {
        Operation::Present => Check::Present,
        Operation::Equal(value) => Check::Equal(value.clone()),
        Operation::GreaterOrEqual(value) => Check::GreaterOrEqual(value.clone()),
        Operation::LessOrEqual(value) => Check::LessOrEqual(value.clone()),
        Operation::Substring(parts) => Check::Pattern(pattern(parts)?),
        Operation::Extensible { rule, value } if rule == "caseIgnoreMatch" => {
            Check::Folded(value.to_lowercase())
        }
        Operation::Extensible { value, .. } => match substring_of(&value.to_lowercase()) {
            Some(parts) => Check::FoldedPattern(pattern(&parts)?),
            None => Check::Never,
        },
        Operation::Approximate(_) => Check::Never,
    })
}

/// Returns a pattern of the parts in order, with anything except line ends between them.
fn pattern(parts: &Substring) -> Option<Regex> {
    const ANYTHING: &str = r"[^\n\r\u{2028}\u{2029}]*";
    let mut text = String::new();
    if !parts.initial.is_empty() {
        text.push('^');
        text.push_str(&regex::escape(&parts.initial));
        text.push_str(ANYTHING);
    }
    for part in &parts.any {
        text.push_str(&regex::escape(part));
        text.push_str(ANYTHING);
    }
    if !parts.last.is_empty() {
        text.push_str(&regex::escape(&parts.last));
        text.push('$');
    }
    Regex::new(&text).ok()
}

impl Check {
    /// Returns whether the value, or an element of an array, meets the condition. Null meets no condition.
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => false,
            (Self::Present, _) => true,
            (_, Value::Array(items)) => items.iter().any(|item| self.one(item)),
            (_, single) => self.one(single),
        }
    }

    fn one(&self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Equal(wanted) => strictly_equal(value, wanted),
            Self::GreaterOrEqual(bound) => js::loose_order(value, bound).is_some_and(|order| order.is_ge()),
            Self::LessOrEqual(bound) => js::loose_order(value, bound).is_some_and(|order| order.is_le()),
            Self::Pattern(pattern) => pattern.is_match(&js::to_text(value)),
            Self::Folded(wanted) => value.as_str().is_some_and(|text| text.to_lowercase() == *wanted),
            Self::FoldedPattern(pattern) => {
                value.as_str().is_some_and(|text| pattern.is_match(&text.to_lowercase()))
            }
            Self::Never => false,
        }
    }
}

/// Compares like `===`: 1 and 1.0 are the same number. A null stands for NaN here and equals nothing.
fn strictly_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Null, _) | (_, Value::Null) => false,
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use serde_json::json;

    fn matches(filter: &str, value: Value) -> bool {
        let matcher = Matcher::new(&parse(filter).unwrap(), &|_| false).unwrap();
        let value = value.as_object().unwrap();
        matcher.matches(&Subject { value, id: 7, key: "k", etag: "E", mtime: 1000 })
    }

    #[test]
    fn equality_is_strict_and_takes_any_element() {
        assert!(matches("(a=5)", json!({"a": "5"})));
        assert!(!matches("(a=5)", json!({"a": 5})));
        assert!(!matches("(a=true)", json!({"a": true})));
        assert!(matches("(a=x)", json!({"a": ["y", "x"]})));
        assert!(!matches("(a=x)", json!({"a": []})));
    }

    #[test]
    fn order_is_loose() {
        assert!(matches("(a>=5)", json!({"a": 10})));
        assert!(!matches("(a>=5)", json!({"a": "10"})));
        assert!(matches("(a<=b)", json!({"a": "a"})));
        assert!(!matches("(a<=b)", json!({})));
        assert!(matches("(_mtime>=999)", json!({})));
    }

    #[test]
    fn presence_and_negation() {
        assert!(matches("(a=*)", json!({"a": ""})));
        assert!(matches("(a=*)", json!({"a": []})));
        assert!(!matches("(a=*)", json!({"a": null})));
        assert!(matches("(!(a=1))", json!({})));
        assert!(matches("(&(_key=k)(_etag=E))", json!({})));
    }

    #[test]
    fn substrings_are_anchored_and_stay_on_their_line() {
        assert!(matches("(a=x*z)", json!({"a": "xyz"})));
        assert!(!matches("(a=x*z)", json!({"a": "xyzz "})));
        assert!(!matches("(a=x*z)", json!({"a": "x\nz"})));
        assert!(matches("(a=*.*)", json!({"a": "1.2"})));
        assert!(!matches("(a=*.*)", json!({"a": "12"})));
        assert!(matches("(a=1*)", json!({"a": 12})));
    }

    #[test]
    fn rules_ignore_case() {
        assert!(matches("(a:caseIgnoreMatch:=FOO)", json!({"a": "foo"})));
        assert!(matches("(a:caseIgnoreMatch:=é)", json!({"a": ["É"]})));
        assert!(!matches("(a:caseIgnoreMatch:=1)", json!({"a": 1})));
        assert!(matches("(a:caseIgnoreSubstringsMatch:=*OO*)", json!({"a": "foo"})));
    }
}
