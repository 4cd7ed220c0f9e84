// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Escapes values in the text of a filter.

use std::fmt::{self, Write as _};

/// A value in which every character that is special to the parser is escaped.
///
/// Hexadecimal escapes are used because they are unambiguous: Moray tries them first. One escape stands for one Latin-1
/// character, so characters outside ASCII must not be escaped.
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
