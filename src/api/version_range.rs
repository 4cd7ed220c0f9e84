// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ranges of versions in npm's notation, as node-semver 4.3 parses them.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version};

/// The greatest number in a version, up to which JavaScript counts exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Alternatives. Each is a list of bounds that all have to hold.
#[derive(Debug)]
pub(super) struct Range(Vec<Vec<Bound>>);

/// A comparison with a version.
type Bound = (Op, Version);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Tilde,
    Caret,
}

impl Range {
    /// Returns `None` if the text is not a range.
    pub(super) fn parse(text: &str) -> Option<Range> {
        text.split("||")
            .map(|alternative| parse_alternative(alternative.trim()))
            .collect::<Option<_>>()
            .map(Range)
    }

    /// Returns whether the range contains `version`, which is not a pre-release.
    pub(super) fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| bounds.iter().all(|bound| holds(bound, version)))
    }
}

fn holds((op, other): &Bound, version: &Version) -> bool {
    let order = version.cmp_precedence(other);
    match op {
        Op::Less => order == Ordering::Less,
        Op::AtMost => order != Ordering::Greater,
        Op::Greater => order == Ordering::Greater,
        Op::AtLeast => order != Ordering::Less,
        Op::Equal | Op::Tilde | Op::Caret => order == Ordering::Equal,
    }
}

fn parse_alternative(text: &str) -> Option<Vec<Bound>> {
    if let [from, "-", to] = text.split_whitespace().collect::<Vec<_>>()[..] {
        let mut bounds = Partial::parse(from)?.bounds(Op::AtLeast)?;
        bounds.extend(Partial::parse(to)?.bounds(Op::AtMost)?);
        return Some(bounds);
    }
    let mut bounds = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (op, operand) = parse_op(rest);
        let end = operand.find(char::is_whitespace).unwrap_or(operand.len());
        bounds.extend(Partial::parse(&operand[..end])?.bounds(op)?);
        rest = operand[end..].trim_start();
    }
    Some(bounds)
}

/// Splits off the operator at the beginning and the white space after it.
fn parse_op(text: &str) -> (Op, &str) {
    const OPS: [(&str, Op); 7] = [
        ("<=", Op::AtMost),
        (">=", Op::AtLeast),
        ("<", Op::Less),
        (">", Op::Greater),
        ("=", Op::Equal),
        ("~", Op::Tilde),
        ("^", Op::Caret),
    ];
    let found = OPS.into_iter().find_map(|(sign, op)| Some((op, text.strip_prefix(sign)?.trim_start())));
    match found {
        // `~>` is an older spelling of `~`.
        Some((Op::Tilde, rest)) => (Op::Tilde, rest.strip_prefix('>').unwrap_or(rest).trim_start()),
        Some(found) => found,
        None => (Op::Equal, text),
    }
}

/// A version whose last parts may be missing.
#[derive(Debug)]
struct Partial<'a> {
    /// Characters without a meaning before the version.
    prefix: &'a str,
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

impl<'a> Partial<'a> {
    fn parse(text: &'a str) -> Option<Partial<'a>> {
        let numbers = text.trim_start_matches(['v', '=']);
        let prefix = &text[..text.len() - numbers.len()];
        let mut parts = numbers.splitn(3, '.');
        let major = number(parts.next()?)?;
        let minor = parts.next().map_or(Some(None), number)?;
        let (patch, pre) = parts.next().map_or(Some((None, Prerelease::EMPTY)), patch)?;
        let minor = major.and(minor);
        Some(Partial { prefix, major, minor, patch: minor.and(patch), pre })
    }

    /// Returns `None` if the operator cannot be combined with this version.
    fn bounds(self, op: Op) -> Option<Vec<Bound>> {
        let Some(major) = self.major else {
            let nothing = vec![(Op::Less, Version::new(0, 0, 0))];
            return Some(if matches!(op, Op::Less | Op::Greater) { nothing } else { vec![] });
        };
        let minor = self.minor.unwrap_or(0);
        let mut low = Version::new(major, minor, self.patch.unwrap_or(0));
        low.pre = self.pre;
        let next_major = Version::new(major + 1, 0, 0);
        let next_minor = Version::new(major, minor + 1, 0);
        let next = if self.minor.is_none() { next_major.clone() } else { next_minor.clone() };
        let above = match (major, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => Version::new(0, 0, patch + 1),
            (0, Some(_), _) => next_minor,
            _ => next_major,
        };
        Some(match op {
            Op::Caret => vec![(Op::AtLeast, low), (Op::Less, above)],
            Op::Tilde => vec![(Op::AtLeast, low), (Op::Less, next)],
            op if self.patch.is_some() => {
                let plain = matches!(self.prefix, "" | "v");
                plain.then(|| vec![(op, low)])?
            }
            Op::Equal => vec![(Op::AtLeast, low), (Op::Less, next)],
            Op::Greater => vec![(Op::AtLeast, next)],
            Op::AtMost => vec![(Op::Less, next)],
            Op::AtLeast | Op::Less => vec![(op, low)],
        })
    }
}

/// Parses a number; `Some(None)` is a wildcard.
fn number(text: &str) -> Option<Option<u64>> {
    if matches!(text, "x" | "X" | "*") {
        return Some(None);
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = text.parse().ok().filter(|number| plain && *number <= MAX_NUMBER)?;
    Some(Some(number))
}

/// Parses the third number, and the pre-release and build that may follow it.
fn patch(text: &str) -> Option<(Option<u64>, Prerelease)> {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (text, pre) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
    if build.is_some_and(|build| build.is_empty() || BuildMetadata::new(build).is_err()) {
        return None;
    }
    let pre = match pre {
        None => Prerelease::EMPTY,
        Some(pre) => Prerelease::new(pre).ok().filter(|pre| !pre.is_empty())?,
    };
    Some((number(text)?, pre))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns which of 1.0.0 and 2.0.0 a range contains; `None` if the text is not a range.
    fn contained(range: &str) -> Option<[bool; 2]> {
        let range = Range::parse(range)?;
        Some([1, 2].map(|major| range.contains(&Version::new(major, 0, 0))))
    }

    #[test]
    fn operators_and_open_parts_bound_a_range() {
        for (range, expected) in [
            ("*", [true, true]),
            ("", [true, true]),
            ("||", [true, true]),
            ("1", [true, false]),
            ("v1.0.0", [true, false]),
            ("=1.x", [true, false]),
            ("==1", [true, false]),
            (">1", [false, true]),
            ("> 1.0.0", [false, true]),
            (">=1.0.0-a", [true, true]),
            ("<=1.0.0-a", [false, false]),
            ("<2", [true, false]),
            ("<=2", [true, true]),
            ("<=1.0.0+build", [true, false]),
            ("<=*", [true, true]),
            ("<*", [false, false]),
            ("~1.0", [true, false]),
            ("~> 1.0.0", [true, false]),
            ("~1.1", [false, false]),
            ("^1.0.0", [true, false]),
            ("^0.9", [false, false]),
            ("1 - 2", [true, true]),
            ("1.0.0 - *", [true, true]),
            ("* - 1.5", [true, false]),
            (">=1 <2", [true, false]),
            ("1.0.0 2.0.0", [false, false]),
            ("1.0.0 || 2.0.0", [true, true]),
        ] {
            assert_eq!(contained(range), Some(expected), "{range:?}");
        }
    }

    #[test]
    fn what_npm_does_not_take_is_no_range() {
        for text in [
            "garbage",
            "1.0.0.0",
            "01",
            "==1.0.0",
            "=<1",
            "!1",
            "1,2",
            "1 && 2",
            "1 -2",
            "~",
            "1 || x y",
            "1-a",
            "1.0.0-",
            "1.0.0+",
            "9007199254740992",
            "| 1",
            "> = 1",
        ] {
            assert_eq!(contained(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_caret_keeps_the_first_number_that_is_not_zero() {
        let contains =
            |range: &str, version: &str| Range::parse(range).unwrap().contains(&version.parse().unwrap());
        assert!(contains("^0.2.3", "0.2.9") && !contains("^0.2.3", "0.3.0"));
        assert!(contains("^0.0.3", "0.0.3") && !contains("^0.0.3", "0.0.4"));
        assert!(contains("^0", "0.9.0") && !contains("^0", "1.0.0"));
    }
}
