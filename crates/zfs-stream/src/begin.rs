// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The BEGIN record, which says what a stream is.

use std::fmt;

use crate::features::{Feature, Features};
use crate::wire::Fields;

/// Offsets in `struct drr_begin`, after the record's type and length.
mod at {
    pub(super) const VERSION_INFO: usize = 16;
    pub(super) const CREATION_TIME: usize = 24;
    pub(super) const TYPE: usize = 32;
    pub(super) const FLAGS: usize = 36;
    pub(super) const TO_GUID: usize = 40;
    pub(super) const FROM_GUID: usize = 48;
    pub(super) const TO_NAME: usize = 56;
    pub(super) const END: usize = crate::wire::RECORD_LEN;
}

/// The lowest bits of `drr_versioninfo` (`DMU_COMPOUNDSTREAM`).
const COMPOUND: u64 = 2;
const HEADER_TYPE: u64 = 3;

/// What kind of dataset a stream holds (`dmu_objset_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetKind {
    /// A file system.
    FileSystem,
    /// A volume (zvol).
    Volume,
    /// Another number. The first BEGIN of a compound stream has 0.
    Other(u32),
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatasetKind::FileSystem => f.write_str("file system"),
            DatasetKind::Volume => f.write_str("volume"),
            DatasetKind::Other(number) => write!(f, "dataset of type {number}"),
        }
    }
}

/// Flags of a BEGIN record (`DRR_FLAG_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeginFlags(pub u32);

impl BeginFlags {
    /// Whether the stream is incremental on the origin of a clone.
    pub fn is_clone(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The contents of a BEGIN record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Whether this begins a compound stream, which has parts. The other members then say nothing.
    pub is_compound: bool,
    /// What the receiver must be able to do.
    pub features: Features,
    /// When the snapshot was made, in seconds since 1970.
    pub created: u64,
    /// File system or volume.
    pub kind: DatasetKind,
    /// More about the stream.
    pub flags: BeginFlags,
    /// The GUID of the snapshot. In decimal it is an image's `dataset_guid`.
    pub to_guid: u64,
    /// The GUID of the snapshot that an incremental stream starts from; 0 if the stream is full.
    pub from_guid: u64,
    /// `dataset@snapshot` as the sender calls them. Bytes that are not UTF-8 are replaced.
    pub name: String,
}

impl Begin {
    pub(crate) fn read(fields: Fields<'_>) -> Begin {
        let version = fields.u64(at::VERSION_INFO);
        let name = fields.bytes(at::TO_NAME, at::END).split(|byte| *byte == 0).next().unwrap_or_default();
        Begin {
            is_compound: version & HEADER_TYPE == COMPOUND,
            features: Features::from_bits(version >> 2),
            created: fields.u64(at::CREATION_TIME),
            kind: match fields.u32(at::TYPE) {
                2 => DatasetKind::FileSystem,
                3 => DatasetKind::Volume,
                other => DatasetKind::Other(other),
            },
            flags: BeginFlags(fields.u32(at::FLAGS)),
            to_guid: fields.u64(at::TO_GUID),
            from_guid: fields.u64(at::FROM_GUID),
            name: String::from_utf8_lossy(name).into_owned(),
        }
    }

    /// Whether the stream needs an earlier snapshot on the receiver.
    pub fn is_incremental(&self) -> bool {
        self.from_guid != 0
    }

    /// Whether this is the rest of an interrupted stream.
    pub fn is_resuming(&self) -> bool {
        self.features.contains(Feature::Resuming)
    }
}
