// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Distinguished names (RFC 4514), compared by their components, never as text.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// A distinguished name. Attribute names are in lower case, values unchanged. The empty name is the root DSE.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Dn(Vec<Rdn>);

/// A component of a name. Components are stored with the most specific one first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rdn {
    attribute: String,
    value: String,
}

/// The text is not a distinguished name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is not a distinguished name")]
pub struct DnError(String);

impl Dn {
    /// Returns whether this is the name of the root DSE.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the name of the parent; `None` for the empty name.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_first().map(|(_, rest)| Self(rest.to_vec()))
    }

    /// Returns whether this is `base` or lies below it.
    pub fn is_within(&self, base: &Self) -> bool {
        self.0.ends_with(&base.0)
    }
}

impl FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let bad = || DnError(text.to_owned());
        split(text).iter().map(|part| Rdn::parse(part).ok_or_else(bad)).collect::<Result<_, _>>().map(Self)
    }
}

/// Splits a text at the commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

impl Rdn {
    /// Parses a component with one attribute. Components with several attributes do not occur in UFDS.
    fn parse(text: &str) -> Option<Self> {
        let (attribute, value) = text.split_once('=')?;
        let attribute = attribute.trim().to_ascii_lowercase();
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if attribute.is_empty() || !attribute.chars().all(named) {
            return None;
        }
        Some(Self { attribute, value: unescape(value.trim())? })
    }
}

/// Resolves escapes: `\,` and similar ones stand for the character, `\2c` for the byte.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => {
                let first = rest.next()?;
                match char::from(first).to_digit(16) {
                    Some(high) => {
                        let low = char::from(rest.next()?).to_digit(16)?;
                        bytes.push(u8::try_from(high * 16 + low).ok()?);
                    }
                    None => bytes.push(first),
                }
            }
            b'+' | b'"' | b';' | b'<' | b'>' => return None,
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|value| !value.is_empty())
}

/// Writes a blank after every comma, as UFDS does.
impl Display for Dn {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (at, rdn) in self.0.iter().enumerate() {
            if at > 0 {
                out.write_str(", ")?;
            }
            write!(out, "{}=", rdn.attribute)?;
            for c in rdn.value.chars() {
                if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
                    out.write_str("\\")?;
                }
                write!(out, "{c}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dn(text: &str) -> Dn {
        text.parse().unwrap()
    }

    #[test]
    fn spelling_does_not_matter_but_values_do() {
        assert_eq!(dn("uuid=a,ou=users,o=smartdc"), dn(" UUID = a , OU=users, o=smartdc"));
        assert_ne!(dn("uuid=a, o=smartdc"), dn("uuid=A, o=smartdc"));
        assert_eq!(dn("uuid=a,o=smartdc").to_string(), "uuid=a, o=smartdc");
    }

    #[test]
    fn escapes_survive_a_round_trip() {
        let name = dn(r"cn=a\,b\2bc, o=x");
        assert_eq!(name.to_string(), r"cn=a\,b\+c, o=x");
        assert_eq!(dn(&name.to_string()), name);
        assert_eq!(dn(r"cn=\c3\a9"), dn("cn=é"));
    }

    #[test]
    fn kinship() {
        let child = dn("uuid=a, ou=users, o=smartdc");
        assert_eq!(child.parent(), Some(dn("ou=users, o=smartdc")));
        assert!(child.is_within(&dn("o=smartdc")));
        assert!(!dn("o=smartdc").is_within(&child));
        assert!(dn("").is_empty() && dn("").parent().is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["x", "=a", "a=", "a=b,", "a=b,,c=d", "a=b+c=d", "a b=c", r"a=\", r"a=\2"] {
            assert!(bad.parse::<Dn>().is_err(), "{bad}");
        }
    }
}
