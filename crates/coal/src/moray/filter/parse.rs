// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The parser. Depth and length are bounded, because filters come from the network.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;
use thiserror::Error;

use super::ast::{Filter, Operation, Substring, Test};

/// Maximum length of a filter, in bytes.
const MAX_LENGTH: usize = 1 << 20;
/// Maximum depth of a filter, in levels.
const MAX_DEPTH: usize = 100;

/// Why a filter cannot be parsed.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ParseError {
    #[error("filter is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("filter is deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("filter ends too early")]
    UnexpectedEnd,
    #[error("unexpected \"{0}\"")]
    Unexpected(char),
    #[error("attribute name is missing")]
    NoAttribute,
    #[error("invalid escape sequence")]
    BadEscape,
}

/// Parses the text of a filter. A single comparison may lack its parentheses.
pub(crate) fn parse(text: &str) -> Result<Filter, ParseError> {
    if text.len() > MAX_LENGTH {
        return Err(ParseError::TooLong);
    }
    if !text.starts_with('(') {
        return parse(&format!("({text})"));
    }
    let mut parser = Parser { chars: text.chars().peekable() };
    let filter = parser.filter(0)?;
    match parser.chars.next() {
        None => Ok(filter),
        Some(c) => Err(ParseError::Unexpected(c)),
    }
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
}

/// One character of a value.
enum Piece {
    /// A character that stands for itself.
    Literal(char),
    /// An unescaped `*`.
    Wildcard,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<char, ParseError> {
        self.chars.next().ok_or(ParseError::UnexpectedEnd)
    }

    fn peek(&mut self) -> Result<char, ParseError> {
        self.chars.peek().copied().ok_or(ParseError::UnexpectedEnd)
    }

    fn expect(&mut self, wanted: char) -> Result<(), ParseError> {
        match self.next()? {
            c if c == wanted => Ok(()),
            c => Err(ParseError::Unexpected(c)),
        }
    }

    /// Parses a filter in parentheses, or a negation without them.
    fn filter(&mut self, depth: usize) -> Result<Filter, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        if self.peek()? == '!' {
            return self.negation(depth);
        }
        self.expect('(')?;
        let filter = match self.peek()? {
            '&' => Filter::And(self.list(depth)?),
            '|' => Filter::Or(self.list(depth)?),
            '!' => self.negation(depth)?,
            _ => return self.test().map(Filter::Test),
        };
        self.expect(')')?;
        Ok(filter)
    }

    fn negation(&mut self, depth: usize) -> Result<Filter, ParseError> {
        self.expect('!')?;
        Ok(Filter::Not(Box::new(self.filter(depth + 1)?)))
    }

    /// Parses the operator and at least one operand, but not the closing parenthesis.
    fn list(&mut self, depth: usize) -> Result<Vec<Filter>, ParseError> {
        self.next()?;
        let mut filters = vec![self.filter(depth + 1)?];
        while self.peek()? != ')' {
            filters.push(self.filter(depth + 1)?);
        }
        Ok(filters)
    }

    /// Parses `attribute operator value )`.
    fn test(&mut self) -> Result<Test, ParseError> {
        let attribute = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if attribute.is_empty() {
            return Err(ParseError::NoAttribute);
        }
        let operation = match self.next()? {
            '=' => equality(self.value()?),
            '>' => {
                self.expect('=')?;
                Operation::GreaterOrEqual(Value::String(literal(self.value()?)))
            }
            '<' => {
                self.expect('=')?;
                Operation::LessOrEqual(Value::String(literal(self.value()?)))
            }
            '~' => {
                self.expect('=')?;
                Operation::Approximate(literal(self.value()?))
            }
            ':' => self.extensible()?,
            c => return Err(ParseError::Unexpected(c)),
        };
        Ok(Test { attribute, operation })
    }

    fn extensible(&mut self) -> Result<Operation, ParseError> {
        let rule = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
        if !rule.is_empty() {
            self.expect(':')?;
        }
        self.expect('=')?;
        Ok(Operation::Extensible { rule, value: literal(self.value()?) })
    }

    fn word(&mut self, accepts: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|c| accepts(*c)) {
            word.push(c);
        }
        word
    }

    /// Reads the pieces of a value, and the closing parenthesis after it.
    fn value(&mut self) -> Result<Vec<Piece>, ParseError> {
        let mut pieces = Vec::new();
        loop {
            pieces.push(match self.next()? {
                ')' => return Ok(pieces),
                '(' => return Err(ParseError::Unexpected('(')),
                '*' => Piece::Wildcard,
                '\\' => Piece::Literal(self.escape()?),
                c => Piece::Literal(c),
            });
        }
    }

    /// Reads an escape after its backslash: two hexadecimal digits, which stand for the character with that code, or one of the
    /// special characters.
    fn escape(&mut self) -> Result<char, ParseError> {
        let first = self.next()?;
        if let Some(high) = first.to_digit(16) {
            let low = self.next()?.to_digit(16).ok_or(ParseError::BadEscape)?;
            return char::from_u32(high * 16 + low).ok_or(ParseError::BadEscape);
        }
        if matches!(first, '(' | ')' | '*' | '\\' | '=') { Ok(first) } else { Err(ParseError::BadEscape) }
    }
}

/// Returns the text of a value in which `*` has no special meaning.
fn literal(pieces: Vec<Piece>) -> String {
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(c) => c,
            Piece::Wildcard => '*',
        })
        .collect()
}

/// Distinguishes presence, equality and substring, all written `=`, by the wildcards in the value.
fn equality(pieces: Vec<Piece>) -> Operation {
    if let [Piece::Wildcard] = pieces[..] {
        return Operation::Present;
    }
    let mut parts = vec![String::new()];
    for piece in pieces {
        match (piece, parts.last_mut()) {
            (Piece::Literal(c), Some(part)) => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() {
        return Operation::Equal(Value::String(last));
    }
    let initial = parts.remove(0);
    Operation::Substring(Substring { initial, any: parts, last })
}

/// Returns the parts of a `caseIgnoreSubstringsMatch` value, in which every `*` is a wildcard.
pub(super) fn substring_of(value: &str) -> Option<Substring> {
    let pieces = value.chars().map(|c| if c == '*' { Piece::Wildcard } else { Piece::Literal(c) }).collect();
    match equality(pieces) {
        Operation::Substring(parts) => Some(parts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(attribute: &str, value: &str) -> Filter {
        Filter::Test(Test {
            attribute: attribute.to_owned(),
            operation: Operation::Equal(Value::String(value.to_owned())),
        })
    }

    fn substring(initial: &str, any: &[&str], last: &str) -> Operation {
        Operation::Substring(Substring {
            initial: initial.to_owned(),
            any: any.iter().map(|&part| part.to_owned()).collect(),
            last: last.to_owned(),
        })
    }

    fn operation(text: &str) -> Operation {
        match parse(text).unwrap() {
            Filter::Test(test) => test.operation,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn values_keep_blanks_and_take_both_kinds_of_escape() {
        assert_eq!(parse(r"(name=foo\28bar\29\2a\5cx=y é)").unwrap(), equal("name", r"foo(bar)*\x=y é"));
        assert_eq!(parse(r"(name=\(\)\*\\\=)").unwrap(), equal("name", r"()*\="));
        assert_eq!(parse(r"(a=\c3\a9)").unwrap(), equal("a", "Ã©"));
        assert_eq!(parse("(a=)").unwrap(), equal("a", ""));
        assert_eq!(parse("a= b ").unwrap(), equal("a", " b "));
    }

    #[test]
    fn wildcards_make_substrings() {
        assert_eq!(operation(r"(name=*a\2ab*)"), substring("", &["a*b"], ""));
        assert_eq!(operation("(a=**)"), substring("", &[""], ""));
        assert_eq!(operation("(a=x*y*)"), substring("x", &["y"], ""));
        assert_eq!(operation("(a=x*)"), substring("x", &[], ""));
        assert_eq!(operation("(a=*)"), Operation::Present);
        assert_eq!(operation("(a>=*)"), Operation::GreaterOrEqual(Value::String("*".to_owned())));
    }

    #[test]
    fn lists_and_negations() {
        let negated = Filter::And(vec![equal("a", "1"), Filter::Not(Box::new(equal("b", "2")))]);
        assert_eq!(parse("(&(a=1)!(b=2))").unwrap(), negated);
        assert_eq!(parse("(&(a=1)(!(b=2)))").unwrap(), negated);
        assert_eq!(parse("!(b=2)").unwrap(), Filter::Not(Box::new(equal("b", "2"))));
        assert_eq!(parse("(|(a=1))").unwrap(), Filter::Or(vec![equal("a", "1")]));
    }

    #[test]
    fn extensible_rules() {
        let extensible =
            |rule: &str| Operation::Extensible { rule: rule.to_owned(), value: "Foo".to_owned() };
        assert_eq!(operation("(a:caseIgnoreMatch:=Foo)"), extensible("caseIgnoreMatch"));
        assert_eq!(operation("(a:2.5.13.2:=Foo)"), extensible("2.5.13.2"));
        assert_eq!(operation("(a:=Foo)"), extensible(""));
    }

    #[test]
    fn what_is_not_a_filter_is_refused() {
        for bad in [
            "(&)",
            "(|)",
            "(a=b",
            "a=b)",
            "(a=(b))",
            "(a.b=1)",
            "(a =1)",
            "( a=1)",
            r"(a=\zz)",
            r"(a=\2)",
            "(=x)",
            "(a>b)",
            "(a<b)",
            "()",
            "",
            "(a=1)(b=2)",
            "(!(a=1)(b=2))",
            "(a:x=1)",
            r"(a=\",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = |levels: usize| format!("{}(a=1){}", "(!".repeat(levels), ")".repeat(levels));
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&deep(100_000)), Err(ParseError::TooDeep));
        assert_eq!(parse(&format!("(a={})", "x".repeat(MAX_LENGTH))), Err(ParseError::TooLong));
    }

    #[test]
    fn the_canonical_text_parses_to_the_same() {
        for text in
            [r"(&(a=1)(!(b=\28*x\2a))(|(c>=5)(d<=*)))", "(a:caseIgnoreMatch:=x)", "(a~=b)", "(a=*)", "(a=**)"]
        {
            let filter = parse(text).unwrap();
            assert_eq!(parse(&filter.to_string()).unwrap(), filter, "{text}");
        }
    }
}
