// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names of members in JSON that is part of a text, possibly as a string within other JSON.

use std::ops::Range;

use super::token::Token;

/// A quotation mark. In JSON that is a string within other JSON it follows a backslash, or three, or seven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    byte: u8,
    pub(super) backslashes: usize,
    depth: usize,
}

impl Quote {
    /// Returns the token as a quotation mark, if it is one.
    pub(super) fn of(token: Token, backslashes: usize) -> Option<Quote> {
        let Token { byte, depth, .. } = token;
        matches!(byte, b'"' | b'\'').then_some(Quote { byte, backslashes, depth })
    }

    /// Returns whether `other` ends the string that this one has begun. Backslashes at the end of a string are doubled
    /// on each level.
    pub(super) fn is_ended_by(self, other: Quote) -> bool {
        let level = self.backslashes + 1;
        self.byte == other.byte && other.backslashes % (2 * level) < level && other.depth <= self.depth
    }
}

/// Finds names: strings between two quotation marks, followed by a colon.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The position after the last quotation mark.
    after_quote: usize,
    /// The last string, which is a name if a colon comes next.
    name: Option<Range<usize>>,
}

impl Names {
    /// Takes the next token, and the position of the backslashes before it. If it is a colon after a name, returns that name.
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
