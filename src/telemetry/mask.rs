// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Keeps secrets out of the log: credentials in headers, URLs and query parameters, and in JSON within any of them.
//!
//! Anyone who can open a connection chooses these texts. So each is read once, from start to end: the cost is
//! proportional to the length of the text, whatever it contains.

mod member;
mod names;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use member::Names;
pub(crate) use names::is_secret_name;
pub(super) use names::{is_secret_header, names_a_host};
use token::{Token, tokens};
use value::{Part, Value};

/// The replacement for a secret.
pub const MASK: &str = "***";

/// Masks the credentials in a URL, a request target, or a text that contains URLs or JSON: the part before an `@` in front of a
/// host, and the values of parameters and members with secret names, encoded or not. Everything else is unchanged.
#[must_use]
pub fn mask_url(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'@' | b'=' | b'%' | b'"' | b'\'' | b'\\')) {
        return Cow::Borrowed(text);
    }
    let mut finder = Finder::new(text);
    tokens(text).for_each(|token| finder.take(token));
    finder.end();
    without(text, &finder.hidden)
}

/// Masks everything before an `@` in a header that holds the name of a host, and credentials in the rest.
pub(super) fn mask_host(value: &str) -> Cow<'_, str> {
    match value.rfind('@') {
        Some(at) => Cow::Owned(format!("{MASK}{}", mask_url(&value[at..]))),
        None => mask_url(value),
    }
}

/// Replaces each of these ranges by a mask. They are in ascending order.
fn without<'a>(text: &'a str, hidden: &[Range<usize>]) -> Cow<'a, str> {
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for range in hidden {
        out.push_str(&text[copied..range.start]);
        out.push_str(MASK);
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Finds everything that has to be hidden, in one pass over a text.
struct Finder<'a> {
    text: &'a str,
    hidden: Vec<Range<usize>>,
    authority: Option<Authority>,
    /// The value of a secret, if one has begun.
    value: Option<Value>,
    /// The position at which the name of the next parameter begins.
    name: usize,
    /// The names of JSON members.
    names: Names,
    /// The number of backslashes before the next token, and the position of the first one.
    backslashes: usize,
    begin: usize,
    /// Whether the last token was a slash.
    after_slash: bool,
}

/// The text from a colon or two slashes up to the name of a host, which may hold a password.
struct Authority {
    start: usize,
    /// How often the delimiters before it are percent-encoded. Delimiters that are encoded more often are part of it.
    depth: usize,
    /// Whether the text is a single URL, whose password may contain white space and `&`.
    is_whole: bool,
    /// The position of the last `@` so far.
    at: Option<usize>,
}

impl<'a> Finder<'a> {
    fn new(text: &'a str) -> Finder<'a> {
        Finder {
            text,
            hidden: Vec::new(),
            authority: None,
            value: None,
            name: 0,
            names: Names::default(),
            backslashes: 0,
            begin: 0,
            after_slash: false,
        }
    }

    fn take(&mut self, token: Token) {
        if self.backslashes == 0 {
            self.begin = token.start;
        }
        self.backslashes += usize::from(token.is_escaped);
        self.look_at(token);
        self.backslashes = if token.byte == b'\\' && !token.is_escaped { self.backslashes + 1 } else { 0 };
    }

    fn look_at(&mut self, token: Token) {
        let name = self.names.take(token, self.begin, self.backslashes);
        if let Some(value) = &mut self.value {
            match value.take(token, self.backslashes) {
                Part::Before | Part::Inner => return,
                Part::Last => return self.end_of_value(token.end),
                Part::Behind => self.end_of_value(self.begin),
                Part::BehindBackslashes => self.end_of_value(token.start),
            }
        }
        self.user_info(token);
        self.parameter(token);
        self.member(name, token);
        self.after_slash = token.is_slash();
    }

    fn end(&mut self) {
        self.end_of_value(self.text.len());
        self.end_of_authority();
    }

    fn end_of_value(&mut self, end: usize) {
        if let Some(value) = self.value.take() {
            self.hidden.push(value.start..end.max(value.start));
            self.name = end;
        }
    }

    fn end_of_authority(&mut self) {
        if let Some(Authority { start, at: Some(at), .. }) = self.authority.take() {
            self.hidden.push(start..at);
        }
    }

    fn user_info(&mut self, token: Token) {
        if let Some(authority) = &mut self.authority {
            if token.is_slash() && authority.start == token.start {
                authority.is_whole = is_scheme(self.text, token.start, authority.is_whole);
                authority.start = token.end;
                authority.depth = authority.depth.max(token.depth);
                return;
            }
            if !authority.is_ended_by(token) {
                if token.byte == b'@' {
                    authority.at = Some(token.start);
                }
                return;
            }
            self.end_of_authority();
        }
        if token.byte == b':' || token.is_slash() && self.after_slash {
            let (start, depth) = (token.end, token.depth);
            self.authority = Some(Authority { start, depth, is_whole: false, at: None });
        }
    }

    /// Begins the value of a member if this colon follows a secret's name.
    fn member(&mut self, name: Option<Range<usize>>, colon: Token) {
        let in_password = self.authority.as_ref().is_some_and(|authority| authority.is_whole);
        if !in_password && name.is_some_and(|name| is_secret_name(&self.text[name])) {
            self.end_of_authority();
            self.value = Some(Value::of_member(colon));
        }
    }

    fn parameter(&mut self, token: Token) {
        if token.byte == b'=' {
            let in_password = self.authority.as_ref().is_some_and(|authority| authority.is_whole);
            if !in_password && is_secret_name(&self.text[self.name..token.start]) {
                self.end_of_authority();
                self.value = Some(Value::of_parameter(token));
            }
            self.name = token.end;
        } else if token.separates_parameters() {
            self.name = token.end;
        }
    }
}

/// Returns whether `text` up to the slash at `end` is only a scheme with its colon. After the first slash, `before`
/// holds the answer already.
fn is_scheme(text: &str, end: usize, before: bool) -> bool {
    /// No scheme is longer. The limit keeps a text of many colons and slashes as cheap as any other.
    const LONGEST: usize = 32;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let scheme = text[..end].strip_suffix(':').filter(|scheme| !scheme.is_empty() && end <= LONGEST);
    before || scheme.is_some_and(|scheme| scheme.bytes().all(is_part))
}

impl Authority {
    fn is_ended_by(&self, token: Token) -> bool {
        let Token { byte, depth, .. } = token;
        match byte {
            b'/' | b'?' | b'#' | b'\\' => depth <= self.depth,
            b'&' | b'"' => depth == 0 && !self.is_whole,
            _ => byte.is_ascii_whitespace() && depth == 0 && !self.is_whole,
        }
    }
}
