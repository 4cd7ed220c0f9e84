// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::str::FromStr;

/// One of the files of an image. Its text form is its name in the image's directory, as in 4.13.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asset {
    /// An image file, by its index in `files`.
    File(usize),
    /// The icon.
    Icon,
}

/// A text that names no file of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an image's file")]
pub struct UnknownAsset;

const FILE: &str = "file";
const ICON: &str = "icon";

impl From<usize> for Asset {
    fn from(index: usize) -> Asset {
        Asset::File(index)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asset::File(index) => write!(f, "{FILE}{index}"),
            Asset::Icon => f.write_str(ICON),
        }
    }
}

impl FromStr for Asset {
    type Err = UnknownAsset;

    fn from_str(name: &str) -> Result<Asset, UnknownAsset> {
        match name.strip_prefix(FILE) {
            Some(index) => index.parse().map(Asset::File).map_err(|_| UnknownAsset),
            None if name == ICON => Ok(Asset::Icon),
            None => Err(UnknownAsset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for asset in [Asset::File(0), Asset::File(12), Asset::Icon] {
            assert_eq!(asset.to_string().parse(), Ok(asset));
        }
        for other in ["file", "filex", "icons", "", "file-1"] {
            assert_eq!(other.parse::<Asset>(), Err(UnknownAsset), "{other}");
        }
    }
}
