// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Splits a text into characters that are plain, percent-encoded, or escaped as in JSON.

/// A byte of a text: plain, as `\u003d` of JSON, or percent-encoded, once (`%3D`) or more often (`%253D`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// The decoded byte.
    pub(super) byte: u8,
    pub(super) start: usize,
    pub(super) end: usize,
    /// How often the byte is percent-encoded.
    pub(super) depth: usize,
    /// Whether the byte is a `\u` escape.
    pub(super) is_escaped: bool,
}

impl Token {
    /// Returns whether the byte is a slash. URL parsers also accept `\` as a slash in https URLs.
    pub(super) fn is_slash(self) -> bool {
        matches!(self.byte, b'/' | b'\\')
    }

    /// Returns whether the byte is white space between names and values of JSON. In a string within other JSON that
    /// includes `\n`.
    pub(super) fn is_blank_in_json(self, backslashes: usize) -> bool {
        self.byte.is_ascii_whitespace() || backslashes > 0 && matches!(self.byte, b'n' | b'r' | b't')
    }

    pub(super) fn separates_parameters(self) -> bool {
        match self.byte {
            b'?' | b'&' | b';' | b'#' => true,
            b'"' | b',' | b'{' | b'(' => self.depth == 0,
            byte => byte.is_ascii_whitespace() && self.depth == 0,
        }
    }
}

/// Iterates over the tokens of a text.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let bytes = text.as_bytes();
    let mut next = 0;
    std::iter::from_fn(move || {
        let token = token(bytes, next)?;
        next = token.end;
        #[cfg(test)]
        super::tests::count(token.end - token.start);
        Some(token)
    })
}

fn token(text: &[u8], start: usize) -> Option<Token> {
    let byte = *text.get(start)?;
    if byte == b'\\'
        && let Some(byte) =
            text[start + 1..].strip_prefix(b"u00").and_then(|rest| rest.get(..2)).and_then(hex_pair)
    {
        return Some(Token { byte, start, end: start + 6, depth: 0, is_escaped: true });
    }
    if byte != b'%' {
        return Some(Token { byte, start, end: start + 1, depth: 0, is_escaped: false });
    }
    let mut end = start + 1;
    let mut depth = 1;
    while text[end..].starts_with(b"25") {
        end += 2;
        depth += 1;
    }
    match text.get(end..end + 2).and_then(hex_pair) {
        Some(byte) => Some(Token { byte, start, end: end + 2, depth, is_escaped: false }),
        None => Some(Token { byte, start, end, depth: depth - 1, is_escaped: false }),
    }
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}
