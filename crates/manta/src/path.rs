// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Paths of objects and directories.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters to percent-encode: all except the unreserved ones of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Number of leading components that always exist: the account, and its `stor`.
const GIVEN: usize = 2;

/// An absolute path in Manta, such as `/admin/stor/imgapi/images`. It starts with the account and has no component that is empty,
/// `.` or `..`. It is stored decoded; requests encode each component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(String);

/// The text is not a path in Manta.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path in manta")]
pub struct InvalidPath(String);

impl Path {
    /// Checks a path. A trailing slash is rejected, because it makes an empty component.
    ///
    /// # Errors
    /// [`InvalidPath`] if the text is not a valid path.
    pub fn new(path: impl Into<String>) -> Result<Path, InvalidPath> {
        let path = path.into();
        match path.strip_prefix('/') {
            Some(components) if components.split('/').all(is_component) => Ok(Path(path)),
            _ => Err(InvalidPath(path)),
        }
    }

    /// Returns a path below this one. `below` is one component, or several separated by slashes.
    ///
    /// # Errors
    /// [`InvalidPath`] if `below` is not valid.
    pub fn join(&self, below: &str) -> Result<Path, InvalidPath> {
        Path::new(format!("{}/{below}", self.0))
    }

    /// Returns the parent directory; `None` for an account.
    pub fn parent(&self) -> Option<Path> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => Some(Path(parent.to_owned())),
            _ => None,
        }
    }

    /// Returns the last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// Returns the first component, the login of the account that owns the path.
    pub fn account(&self) -> &str {
        self.0[1..].split('/').next().unwrap_or_default()
    }

    /// Returns the whole path, decoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path as it is written in a request line.
    pub(crate) fn encoded(&self) -> String {
        let mut target = String::with_capacity(self.0.len());
        for component in self.0[1..].split('/') {
            target.push('/');
            target.extend(utf8_percent_encode(component, ENCODED));
        }
        target
    }

    /// Returns this directory and its ancestors, the innermost first, without those that always exist.
    pub(crate) fn lineage(&self) -> impl Iterator<Item = Path> + use<> {
        let depth = self.0.matches('/').count();
        let from_inside = std::iter::successors(Some(self.clone()), Path::parent);
        from_inside.take(depth.saturating_sub(GIVEN))
    }
}

/// Percent-encodes a query value.
pub(crate) fn encode(value: &str) -> impl fmt::Display {
    utf8_percent_encode(value, ENCODED)
}

fn is_component(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control)
}

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Path, InvalidPath> {
        Path::new(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in ["", "/", "a/b", "//a", "/a/", "/a//b", "/a/./b", "/a/../b", "/a/..", "/a/b\0", "/a\r\nb"]
        {
            assert_eq!(Path::new(text), Err(InvalidPath(text.into())));
        }
        let root = path("/admin/stor");
        for text in ["", "..", "/a", "a/", "a/../../x"] {
            assert!(root.join(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn components_are_encoded_one_by_one() {
        let odd = path("/a.b/stor/ä b%2F?#&+=:@;'(.)/..x~_-");
        assert_eq!(odd.encoded(), "/a.b/stor/%C3%A4%20b%252F%3F%23%26%2B%3D%3A%40%3B%27%28.%29/..x~_-");
    }

    #[test]
    fn a_path_knows_its_parts() {
        let file = path("/admin/stor").join("images/f").unwrap();
        assert_eq!((file.account(), file.name()), ("admin", "f"));
        assert_eq!(file.parent(), Some(path("/admin/stor/images")));
        assert_eq!(path("/admin").parent(), None);
        assert_eq!(path("/admin").name(), "admin");
        let lineage: Vec<Path> = file.lineage().collect();
        assert_eq!(lineage, [path("/admin/stor/images/f"), path("/admin/stor/images")]);
        assert_eq!(path("/admin/stor").lineage().count(), 0);
        assert_eq!(path("/admin").lineage().count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(name in "[^/\\p{Cc}]{3,20}") {
            let path = path("/a/stor").join(&name).unwrap();
            let encoded = path.encoded();
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/%-._~".contains(&byte)));
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded, path.as_str());
        }
    }
}
