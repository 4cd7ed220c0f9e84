// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A parser of filters for tests: Moray must read exactly the filter that was built.

use proptest::prelude::*;

use super::{Attribute, Filter, Node};

/// Parses by the grammar of moray-filter 1.0.0: hexadecimal escapes first, then a backslash before one of `()*\=`.
fn parse(text: &str) -> Result<Filter, String> {
    let mut input = Input { rest: text };
    let filter = input.filter()?;
    if input.rest.is_empty() { Ok(filter) } else { Err(format!("trailing {:?}", input.rest)) }
}

struct Input<'a> {
    rest: &'a str,
}

impl Input<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("{token:?} missing before {:?}", self.rest)) }
    }

    fn filter(&mut self) -> Result<Filter, String> {
        self.expect("(")?;
        let node = if self.take("&") {
            Node::And(self.list()?)
        } else if self.take("|") {
            Node::Or(self.list()?)
        } else if self.take("!") {
            Node::Not(Box::new(self.filter()?))
        } else {
            self.comparison()?
        };
        self.expect(")")?;
        Ok(Filter(node))
    }

    fn list(&mut self) -> Result<Vec<Filter>, String> {
        let mut filters = vec![self.filter()?];
        while self.rest.starts_with('(') {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = self.rest.find(|c| !is_name(c)).ok_or("no operator")?;
        let attribute = Attribute::new(&self.rest[..end]).map_err(|error| error.to_string())?;
        self.rest = &self.rest[end..];
        if self.take(">=") {
            return Ok(Node::GreaterOrEqual(attribute, self.plain_value()?));
        }
        if self.take("<=") {
            return Ok(Node::LessOrEqual(attribute, self.plain_value()?));
        }
        self.expect("=")?;
        let mut parts = self.parts()?;
        let last = parts.pop().ok_or("no value")?;
        if parts.is_empty() {
            return Ok(Node::Equal(attribute, last));
        }
        let initial = parts.remove(0);
        if initial.is_empty() && parts.is_empty() && last.is_empty() {
            return Ok(Node::Present(attribute));
        }
        Ok(Node::Substring { attribute, initial, any: parts, last })
    }

    fn plain_value(&mut self) -> Result<String, String> {
        match self.parts()?.as_slice() {
            [value] => Ok(value.clone()),
            _ => Err("a wildcard in an order".to_owned()),
        }
    }

    /// Reads the value up to its closing parenthesis and splits it at unescaped asterisks.
    fn parts(&mut self) -> Result<Vec<String>, String> {
        let mut parts = vec![String::new()];
        loop {
            let mut characters = self.rest.chars();
            let character = characters.next().ok_or("unbalanced")?;
            let after = characters.as_str();
            let part = parts.last_mut().ok_or("no part")?;
            match character {
                ')' => return Ok(parts),
                '(' => return Err("a parenthesis in a value".to_owned()),
                '*' => parts.push(String::new()),
                '\\' => {
                    if let Some(code) = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                        part.push(char::from(code));
                        self.rest = &after[2..];
                        continue;
                    }
                    let escaped = characters.next().filter(|c| r"()*\=".contains(*c)).ok_or("bad escape")?;
                    part.push(escaped);
                    self.rest = characters.as_str();
                    continue;
                }
                other => part.push(other),
            }
            self.rest = after;
        }
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[()&|!=*\\<>~:a-f0-9é€ \x00]{0,12}",
        ".{0,12}",
        Just(")(uuid=*".to_owned()),
        Just(r"\2a".to_owned()),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let name = "[_a-zA-Z0-9]{1,6}".prop_map(|name| Attribute::new(name).unwrap());
    let leaf = (name, hostile_text(), hostile_text(), prop::collection::vec(hostile_text(), 0..3), 0..5)
        .prop_map(|(name, value, last, any, kind)| match kind {
            0 => Filter::present(name),
            1 => Filter::eq(name, value),
            2 => Filter::ge(name, value),
            3 => Filter::le(name, value),
            _ => Filter::substring(name, value, any, last),
        });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            list.clone().prop_map(|filters| Filter::all_of(filters).unwrap()),
            list.prop_map(|filters| Filter::any_of(filters).unwrap()),
            inner.prop_map(Filter::not),
        ]
    })
}

proptest! {
    #[test]
    fn moray_reads_what_was_built(filter in any_filter()) {
        prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
    }
}

#[test]
fn values_are_escaped_in_the_style_that_has_no_ambiguity() {
    let name = Attribute::from_static("name");
    assert_eq!(Filter::eq(name.clone(), r"foo(bar)*\x=y é").to_string(), r"(name=foo\28bar\29\2a\5cx=y é)");
    assert_eq!(Filter::contains(name.clone(), "a*b").to_string(), r"(name=*a\2ab*)");
    assert_eq!(Filter::contains(name.clone(), "").to_string(), "(name=**)");
    assert_eq!(Filter::starts_with(name.clone(), "").to_string(), "(name=*)");
    assert_eq!(Filter::ends_with(name.clone(), "\0z").to_string(), r"(name=*\00z)");
    assert_eq!(Filter::all_of([Filter::eq(name, "")]).unwrap().to_string(), "(&(name=))");
    assert_eq!(Filter::all_of([]), None);
    assert_eq!(Filter::any_of([]), None);
}
