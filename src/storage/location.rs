// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::{Asset, Digests};
use crate::manifest::{Icon, ImageFile, OwnName, Stor, Uuid};

/// A stored file: whose it is, where it is stored, and what is known of its bytes.
#[derive(Debug, Clone)]
pub struct Location {
    /// The image.
    pub uuid: Uuid,
    /// Which of the image's files.
    pub asset: Asset,
    /// The storage that has it.
    pub stor: Stor,
    /// SHA-1 of the bytes, lower-case hex.
    pub sha1: String,
    /// Length in bytes.
    pub size: u64,
    /// MD5 of the bytes in Base64, if known.
    pub md5: Option<String>,
    /// SHA-256 of the bytes, lower-case hex, if known.
    pub sha256: Option<String>,
    /// The name of the object in Manta, while it is not the final name: see `manta.rs`.
    pub object: Option<OwnName>,
}

impl Location {
    /// The location of file `index` of an image.
    pub fn of_file(uuid: Uuid, index: usize, file: &ImageFile) -> Location {
        Location {
            uuid,
            asset: Asset::File(index),
            stor: file.stor,
            sha1: file.sha1.clone(),
            size: file.size,
            md5: file.content_md5.clone(),
            sha256: file.sha256.clone(),
            object: file.object.clone(),
        }
    }

    /// The location of the icon of an image.
    pub fn of_icon(uuid: Uuid, icon: &Icon) -> Location {
        Location {
            uuid,
            asset: Asset::Icon,
            stor: icon.stor,
            sha1: icon.sha1.clone(),
            size: icon.size,
            md5: icon.content_md5.clone(),
            sha256: None,
            object: icon.object.clone(),
        }
    }
}

impl Location {
    /// All digests; `None` if some are unknown.
    pub(super) fn digests(&self) -> Option<Digests> {
        Some(Digests {
            size: self.size,
            sha1: self.sha1.clone(),
            md5: self.md5.clone()?,
            sha256: self.sha256.clone()?,
        })
    }
}

/// Two locations are equal if they are the same bytes at the same place. A digest that was added later makes no difference.
impl PartialEq for Location {
    fn eq(&self, other: &Location) -> bool {
        let all = |location: &Location| (location.uuid, location.asset, location.stor, location.size);
        all(self) == all(other)
            && (&self.sha1, &self.md5, &self.object) == (&other.sha1, &other.md5, &other.object)
    }
}

/// Where an upload is stored.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The image.
    pub uuid: Uuid,
    /// Which of the image's files.
    pub asset: Asset,
    /// The storage that gets the file.
    pub stor: Stor,
    /// Whether the image has such a file there already, which must stay until the record names the new file.
    pub replaces: bool,
}
