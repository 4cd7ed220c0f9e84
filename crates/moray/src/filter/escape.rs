// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Values inside a filter's text.

use std::fmt::{self, Write as _};

/// A value with everything escaped that means something to the parser.
///
/// The hexadecimal style is the one without an ambiguity: Moray tries it first. One escape is one character in
/// Latin-1, so text outside ASCII must not be escaped.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str(r"\5c")?,
                '(' => f.write_str(r"\28")?,
                ')' => f.write_str(r"\29")?,
                '*' => f.write_str(r"\2a")?,
                '\0' => f.write_str(r"\00")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
