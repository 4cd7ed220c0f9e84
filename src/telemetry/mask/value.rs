// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Finds where the value of a secret ends.

use super::member::Quote;
use super::token::Token;

/// The value of a secret that has begun: of a parameter, or of a JSON member.
pub(super) struct Value {
    pub(super) start: usize,
    /// Whether the delimiter before the value is percent-encoded.
    is_encoded: bool,
    is_member: bool,
    form: Form,
}

enum Form {
    /// The value has not begun yet.
    None,
    /// A string in quotation marks, and the mark that begins it.
    Quoted(Quote),
    /// An object or array: the number of open brackets, and the open string in it.
    Nested { brackets: usize, text: Option<Quote> },
    /// Any other value.
    Bare,
}

/// How a token relates to a value.
pub(super) enum Part {
    /// The token is part of the value.
    Inner,
    /// The token comes before the value, which begins after it.
    Before,
    /// The token is the end of the value.
    Last,
    /// The value ended before the token and before its backslashes.
    Behind,
    /// The value ended before the token, but some of its backslashes are part of the value.
    BehindBackslashes,
}

impl Value {
    /// The value of a parameter, after this equals sign.
    pub(super) fn of_parameter(equals: Token) -> Value {
        Value { start: equals.end, is_encoded: equals.depth > 0, is_member: false, form: Form::None }
    }

    /// The value of a member, after this colon.
    pub(super) fn of_member(colon: Token) -> Value {
        Value { start: colon.end, is_encoded: colon.depth > 0, is_member: true, form: Form::None }
    }

    /// Takes the next token, which has this many backslashes before it.
    pub(super) fn take(&mut self, token: Token, backslashes: usize) -> Part {
        if self.is_encoded && token.byte == b'&' && token.depth == 0 {
            return Part::Behind;
        }
        let quote = Quote::of(token, backslashes);
        let ends_bare = self.ends_bare(token);
        match &mut self.form {
            Form::None => self.begin(token, quote, backslashes),
            Form::Quoted(open) => match quote {
                Some(quote) if !open.is_ended_by(quote) => Part::Inner,
                Some(_) if backslashes > open.backslashes => Part::BehindBackslashes,
                Some(_) => Part::Behind,
                None => Part::Inner,
            },
            Form::Nested { brackets, text } => {
                match (text.as_ref(), quote, token.byte) {
                    (Some(open), Some(quote), _) if open.is_ended_by(quote) => *text = None,
                    (None, Some(quote), _) => *text = Some(quote),
                    (None, _, b'{' | b'[') => *brackets += 1,
                    (None, _, b'}' | b']') => *brackets -= 1,
                    _ => {}
                }
                if *brackets == 0 { Part::Last } else { Part::Inner }
            }
            Form::Bare if ends_bare => Part::Behind,
            Form::Bare => Part::Inner,
        }
    }

    fn begin(&mut self, token: Token, quote: Option<Quote>, backslashes: usize) -> Part {
        if let Some(quote) = quote {
            self.form = Form::Quoted(quote);
            self.start = token.end;
            return Part::Before;
        }
        if self.is_member && token.is_blank_in_json(backslashes) {
            return Part::Before;
        }
        match token.byte {
            // The backslash belongs to the quotation mark that follows.
            b'\\' => return Part::Before,
            b'{' | b'[' => self.form = Form::Nested { brackets: 1, text: None },
            _ if self.ends_bare(token) => return Part::Behind,
            _ => self.form = Form::Bare,
        }
        Part::Inner
    }

    fn ends_bare(&self, token: Token) -> bool {
        let Token { byte, depth, .. } = token;
        if self.is_member {
            return matches!(byte, b',' | b'}' | b']' | b'"' | b'&') || byte.is_ascii_whitespace();
        }
        // If a URL is itself a parameter, its secret is hidden up to the next parameter of the outer URL.
        let ends = match byte {
            b'&' | b'"' => true,
            b';' | b'#' => !self.is_encoded,
            _ => byte.is_ascii_whitespace(),
        };
        ends && depth == 0
    }
}
