// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names of members in JSON that stands in a text, perhaps as a text of other JSON.

use std::ops::Range;

use super::token::Token;

/// A quotation mark. One of JSON within a text of other JSON has a backslash before it, or three, or seven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    byte: u8,
    pub(super) backslashes: usize,
    depth: usize,
}

impl Quote {
    /// The token as one.
    pub(super) fn of(token: Token, backslashes: usize) -> Option<Quote> {
        let Token { byte, depth, .. } = token;
        matches!(byte, b'"' | b'\'').then_some(Quote { byte, backslashes, depth })
    }

    /// Whether the other one ends the text that this one has begun. Backslashes at the end of the text are doubled with each
    /// level.
    pub(super) fn is_ended_by(self, other: Quote) -> bool {
        let level = self.backslashes + 1;
        self.byte == other.byte && other.backslashes % (2 * level) < level && other.depth <= self.depth
    }
}

/// Looks for names: what stands between two quotation marks, before a colon.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Where the last quotation mark ended.
    after_quote: usize,
    /// A name, if a colon is next.
    name: Option<Range<usize>>,
}

impl Names {
    /// Takes the next token, and where the backslashes before it begin. The name that ends with it, if it is a colon.
    pub(super) fn take(&mut self, token: Token, begin: usize, backslashes: usize) -> Option<Range<usize>> {
        if Quote::of(token, backslashes).is_some() {
            self.name = Some(self.after_quote..begin);
            self.after_quote = token.end;
        } else if token.byte == b':' {
            return self.name.take();
        } else if token.byte != b'\\' && !token.is_blank_in_json(backslashes) {
            self.name = None;
        }
        None
    }
}
