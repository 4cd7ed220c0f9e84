// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a stream needs of its receiver.

use std::fmt;

/// A feature of a stream (`DMU_BACKUP_FEATURE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Blocks refer to equal ones before them.
    Dedup,
    /// Blocks refer to equal ones, and their sums are stored.
    DedupProperties,
    /// System attributes in spill blocks. Every file system of today has it.
    SaSpill,
    /// Small blocks are inside WRITE_EMBEDDED records.
    EmbeddedData,
    /// LZ4 in embedded data or blocks.
    Lz4,
    /// Blocks of over 128 KiB.
    LargeBlocks,
    /// The rest of a stream that was interrupted (`zfs send -t`).
    Resuming,
    /// Parts are left out by intention.
    Redacted,
    /// Blocks are compressed as they are on disk (`zfs send -c`).
    Compressed,
    /// Dnodes of over 512 bytes.
    LargeDnodes,
    /// Blocks are encrypted as they are on disk (`zfs send -w`): only who has the key can use them.
    Raw,
    /// Zstandard in blocks.
    Zstd,
    /// Holds of snapshots are in the stream.
    Holds,
    /// Large blocks may follow a stream without them.
    SwitchToLargeBlocks,
    /// Names of files of over 255 bytes.
    LongNames,
    /// Directories whose smallest form has over 128 KiB.
    LargeMicrozap,
}

/// The features with their bits and names.
const FEATURES: [(Feature, u32, &str); 16] = [
    (Feature::Dedup, 0, "dedup"),
    (Feature::DedupProperties, 1, "dedup-properties"),
    (Feature::SaSpill, 2, "sa-spill"),
    (Feature::EmbeddedData, 16, "embedded-data"),
    (Feature::Lz4, 17, "lz4"),
    (Feature::LargeBlocks, 19, "large-blocks"),
    (Feature::Resuming, 20, "resuming"),
    (Feature::Redacted, 21, "redacted"),
    (Feature::Compressed, 22, "compressed"),
    (Feature::LargeDnodes, 23, "large-dnodes"),
    (Feature::Raw, 24, "raw"),
    (Feature::Zstd, 25, "zstd"),
    (Feature::Holds, 26, "holds"),
    (Feature::SwitchToLargeBlocks, 27, "switch-to-large-blocks"),
    (Feature::LongNames, 28, "long-names"),
    (Feature::LargeMicrozap, 29, "large-microzap"),
];

/// The set of a stream's features, unknown ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u64);

impl Features {
    /// Returns the set with these bits, as in `drr_versioninfo` after the two lowest bits are shifted out.
    pub const fn from_bits(bits: u64) -> Features {
        Features(bits)
    }

    /// Returns the bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the set has a feature.
    pub fn contains(self, feature: Feature) -> bool {
        self.known().any(|known| known == feature)
    }

    /// Returns the features that this crate knows.
    pub fn known(self) -> impl Iterator<Item = Feature> {
        FEATURES.into_iter().filter(move |(_, bit, _)| self.0 >> bit & 1 == 1).map(|(feature, ..)| feature)
    }

    /// Returns the bits of features that this crate does not know. They do not change how records are read, as far as is known.
    pub fn unknown_bits(self) -> u64 {
        FEATURES.iter().fold(self.0, |bits, (_, bit, _)| bits & !(1 << bit))
    }

    /// Returns both sets together.
    #[must_use]
    pub const fn union(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl Feature {
    /// The feature's name, in small letters with hyphens.
    pub fn name(self) -> &'static str {
        FEATURES.iter().find(|(feature, ..)| *feature == self).map_or("", |(.., name)| name)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_told_by_their_bits() {
        let set = Features::from_bits(0x11 >> 2 | 1 << 22 | 1 << 40);
        assert_eq!(set.known().map(Feature::name).collect::<Vec<_>>(), ["sa-spill", "compressed"]);
        assert_eq!(set.unknown_bits(), 1 << 40);
        assert!(set.contains(Feature::Compressed) && !set.contains(Feature::Raw));
        assert_eq!(set.union(Features::from_bits(1)).bits(), set.bits() | 1);
    }
}
