// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A strict reader of LDIF (RFC 2849): content records and `changetype: add`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::dn::{Dn, DnError};

/// One record: a name and its attributes, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LdifRecord {
    /// Line of the `dn:`, counted from 1.
    pub(crate) line: usize,
    /// Distinguished name of the entry.
    pub(crate) dn: Dn,
    /// Attribute names, in lower case, with one value each.
    pub(crate) attributes: Vec<(String, String)>,
}

/// Why an LDIF text is invalid, and where. Lines are counted from 1.
#[derive(Debug, Error)]
pub enum LdifError {
    /// A line has no colon or an invalid attribute name.
    #[error("line {0}: not of the form \"attribute: value\"")]
    Malformed(usize),
    /// A continuation line has no line before it.
    #[error("line {0}: continues nothing")]
    Continuation(usize),
    /// A record does not begin with its name.
    #[error("line {0}: a record must begin with \"dn:\"")]
    NoDn(usize),
    /// A record has a second name, or a `changetype` that is not its first line.
    #[error("line {0}: \"{1}\" is out of place")]
    OutOfPlace(usize, String),
    /// A name cannot be parsed.
    #[error("line {0}: {1}")]
    Dn(usize, DnError),
    /// A change is not an `add`.
    #[error("line {0}: changetype \"{1}\" is not supported")]
    ChangeType(usize, String),
    /// A base64 value is invalid, or not UTF-8.
    #[error("line {0}: value is not base64 of UTF-8 text")]
    Base64(usize),
    /// A value is given by reference (`attribute:< url`).
    #[error("line {0}: values by URL are not supported")]
    Url(usize),
    /// The version is not 1.
    #[error("line {0}: unsupported LDIF version")]
    Version(usize),
}

/// Reads all records.
pub(crate) fn parse(text: &str) -> Result<Vec<LdifRecord>, LdifError> {
    let mut records = Vec::new();
    let mut current: Option<LdifRecord> = None;
    for line in unfold(text)? {
        let Some((number, text)) = line else {
            records.extend(current.take());
            continue;
        };
        let (name, value) = attribute(number, &text)?;
        match (&mut current, name.as_str()) {
            (None, "version") if records.is_empty() => {
                if value != "1" {
                    return Err(LdifError::Version(number));
                }
            }
            (None, "dn") => {
                let dn = value.parse().map_err(|error| LdifError::Dn(number, error))?;
                current = Some(LdifRecord { line: number, dn, attributes: Vec::new() });
            }
            (None, _) => return Err(LdifError::NoDn(number)),
            (Some(_), "dn") => return Err(LdifError::OutOfPlace(number, name)),
            (Some(record), "changetype") => {
                if !record.attributes.is_empty() {
                    return Err(LdifError::OutOfPlace(number, name));
                }
                if value != "add" {
                    return Err(LdifError::ChangeType(number, value));
                }
            }
            (Some(record), _) => record.attributes.push((name, value)),
        }
    }
    records.extend(current);
    Ok(records)
}

/// A logical line with the number of its first physical line; `None` is a blank line.
type Line = Option<(usize, String)>;

/// Joins continuation lines and drops comments.
fn unfold(text: &str) -> Result<Vec<Line>, LdifError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut in_comment = false;
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if let Some(rest) = line.strip_prefix(' ') {
            match lines.last_mut() {
                _ if in_comment => {}
                Some(Some((_, text))) => text.push_str(rest),
                _ => return Err(LdifError::Continuation(number)),
            }
            continue;
        }
        in_comment = line.starts_with('#');
        if !in_comment {
            lines.push((!line.is_empty()).then(|| (number, line.to_owned())));
        }
    }
    Ok(lines)
}

/// Parses `name: value` or `name:: base64`. Blanks before the value are ignored.
fn attribute(number: usize, line: &str) -> Result<(String, String), LdifError> {
    let (name, rest) = line.split_once(':').ok_or(LdifError::Malformed(number))?;
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(named) {
        return Err(LdifError::Malformed(number));
    }
    let value = match (rest.strip_prefix(':'), rest.starts_with('<')) {
        (_, true) => return Err(LdifError::Url(number)),
        (None, _) => rest.trim_start_matches(' ').to_owned(),
        (Some(encoded), _) => {
            let bytes = STANDARD.decode(encoded.trim()).map_err(|_| LdifError::Base64(number))?;
            String::from_utf8(bytes).map_err(|_| LdifError::Base64(number))?
        }
    };
    Ok((name.to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_continuations_changetype_and_base64() {
        let text = "version: 1\n# a comment\n  goes on\n\ndn: uuid=a, ou=us\n ers, o=smartdc\r\n\
                    changetype: add\nCN:: w6k=\nsn:   x y\ncn: second\n\n\n\ndn: o=smartdc\no: smartdc\n";
        let records = parse(text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].line, 5);
        assert_eq!(records[0].dn.to_string(), "uuid=a, ou=users, o=smartdc");
        let pairs: Vec<(&str, &str)> =
            records[0].attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("cn", "é"), ("sn", "x y"), ("cn", "second")]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [
            ("dn: o=x\nnonsense\n", 2),
            (" x", 1),
            ("o: x", 1),
            ("dn: o=x\ndn: o=y", 2),
            ("dn: o", 1),
            ("dn: o=x\nchangetype: delete", 2),
            ("dn: o=x\na:: =", 2),
            ("dn: o=x\na:: /w==", 2),
            ("dn: o=x\na:< file:///etc/passwd", 2),
            ("version: 2", 1),
            ("dn: o=x\na: 1\nchangetype: add", 3),
            ("dn: o=x\na b: 1", 2),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("line {line}: ")), "{text:?}: {message}");
        }
    }
}
