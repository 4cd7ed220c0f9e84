// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Splits text into tags and the text between them. Lines with nothing but tags are removed.

use super::TemplateError;
use super::js::is_space;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Text without an end of line.
    Text(String),
    /// The end of a line that is kept.
    Newline,
    /// `{{#name}}`, or `{{^name}}`.
    Open { name: String, inverted: bool, line: usize },
    /// `{{/name}}`.
    Close { name: String, line: usize },
    /// `{{name}}`, or `{{{name}}}` and `{{&name}}` without escaping.
    Variable { name: String, html: bool, line: usize },
    /// A comment or a partial, which render nothing.
    Nothing,
}

struct Scanner<'a> {
    rest: &'a str,
    open: &'a str,
    close: &'a str,
    /// The current line, counted from 1.
    line: usize,
    tokens: Vec<Token>,
    /// The first token of the current line.
    line_start: usize,
    tag_seen: bool,
}

pub(super) fn scan(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut scanner = Scanner {
        rest: text,
        open: "{{",
        close: "}}",
        line: 1,
        tokens: Vec::new(),
        line_start: 0,
        tag_seen: false,
    };
    loop {
        let tag = scanner.rest.find(scanner.open);
        let newline = scanner.rest.find('\n');
        match (tag, newline) {
            (Some(tag), newline) if newline.is_none_or(|newline| tag <= newline) => {
                scanner.text(tag);
                scanner.tag()?;
            }
            (_, Some(newline)) => {
                scanner.text(newline);
                scanner.rest = &scanner.rest[1..];
                scanner.line += 1;
                scanner.end_line(true);
            }
            _ => {
                scanner.text(scanner.rest.len());
                scanner.end_line(false);
                return Ok(scanner.tokens);
            }
        }
    }
}

impl<'a> Scanner<'a> {
    /// Takes `len` bytes of the rest.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn text(&mut self, len: usize) {
        let text = self.take(len);
        if !text.is_empty() {
            self.tokens.push(Token::Text(text.to_owned()));
        }
    }

    /// Ends a line. A line that has only white space and tags that render nothing is removed, together with its end.
    fn end_line(&mut self, newline: bool) {
        let silent = |token: &Token| match token {
            Token::Text(text) => text.chars().all(is_space),
            Token::Newline | Token::Variable { .. } => false,
            Token::Open { .. } | Token::Close { .. } | Token::Nothing => true,
        };
        if self.tag_seen && self.tokens[self.line_start..].iter().all(silent) {
            // If two texts follow each other, with a change of delimiters between them, Hogan.js keeps the second one.
            let mut left_out = false;
            let line = self.tokens.split_off(self.line_start);
            for token in line {
                left_out = !left_out && matches!(token, Token::Text(_));
                if !left_out {
                    self.tokens.push(token);
                }
            }
        } else if newline {
            self.tokens.push(Token::Newline);
        }
        self.tag_seen = false;
        self.line_start = self.tokens.len();
    }

    /// Reads the tag at the beginning of the rest.
    fn tag(&mut self) -> Result<(), TemplateError> {
        let line = self.line;
        self.take(self.open.len());
        self.tag_seen = true;
        if self.rest.starts_with('=') {
            return self.delimiters(line);
        }
        let kind = self.rest.chars().next().filter(|kind| "#^/!><${&".contains(*kind));
        self.take(kind.map_or(0, char::len_utf8));
        let Some(end) = self.rest.find(self.close) else {
            let shown = self.rest.lines().next().unwrap_or_default();
            let shown = format!("{}{shown}", kind.map(String::from).unwrap_or_default());
            return Err(TemplateError::new(line, &shown, "the tag is not closed"));
        };
        let inside = self.take(end);
        self.take(self.close.len());
        self.line += inside.matches('\n').count();
        let mut name = inside.trim_matches(is_space);
        if kind == Some('{') {
            name = self.unbraced(name, line)?;
        }
        let name = name.to_owned();
        self.tokens.push(match kind {
            Some('#' | '^') => Token::Open { name, inverted: kind == Some('^'), line },
            Some('/') => Token::Close { name, line },
            Some('!' | '>') => Token::Nothing,
            Some(kind @ ('<' | '$')) => {
                let tag = format!("{kind}{name}");
                return Err(TemplateError::new(line, &tag, "inheritance is not supported"));
            }
            _ => Token::Variable { name, html: kind.is_none(), line },
        });
        Ok(())
    }

    /// Reads the name in `{{{name}}}`, whose last brace is still unread, or in `<%{name}%>`.
    fn unbraced(&mut self, name: &'a str, line: usize) -> Result<&'a str, TemplateError> {
        if self.close != "}}" {
            return Ok(name.strip_suffix('}').unwrap_or(name));
        }
        if !self.rest.starts_with('}') {
            return Err(TemplateError::new(line, &format!("{{{name}"), "the tag ends with two braces"));
        }
        self.take(1);
        Ok(name)
    }

    /// Reads a change of delimiters, `{{=<% %>=}}`.
    fn delimiters(&mut self, line: usize) -> Result<(), TemplateError> {
        let end = format!("={}", self.close);
        let inside = self.rest.strip_prefix('=').and_then(|rest| rest.split_once(&end));
        let Some((inside, rest)) = inside else {
            return Err(TemplateError::new(line, "=", "the change of delimiters is not closed"));
        };
        self.rest = rest;
        self.line += inside.matches('\n').count();
        let words: Vec<&str> = inside.split(is_space).filter(|word| !word.is_empty()).collect();
        let [open, close] = words[..] else {
            let tag = format!("={inside}=");
            return Err(TemplateError::new(line, &tag, "two delimiters are needed"));
        };
        (self.open, self.close) = (open, close);
        Ok(())
    }
}
