// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zfs_stream::{ByteOrder, DatasetKind, Feature, Part, RecordKind, Summary};

use crate::contents::{Contents, DataKind, Encoding, Following, FollowingKind, Stream};

/// What is printed about a file. The members are those of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) compression: &'static str,
    /// Sizes in bytes, as the file is and decompressed.
    pub(super) size: u64,
    pub(super) uncompressed_size: u64,
    pub(super) contents: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<StreamReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) following: Option<FollowingReport>,
    pub(super) damaged: bool,
    /// Why the file is damaged.
    pub(super) damage: Vec<String>,
    /// What else makes it a bad file of an image.
    pub(super) warnings: Vec<String>,
}

/// A ZFS stream.
#[derive(Debug, Serialize)]
pub(super) struct StreamReport {
    pub(super) byte_order: &'static str,
    pub(super) compound: bool,
    pub(super) features: Vec<&'static str>,
    /// Bits of features without a name, as of `drr_versioninfo` without its two lowest bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown_features: Option<String>,
    /// Whether all records and sums are right.
    pub(super) sums_right: bool,
    /// Sizes in bytes: the stream, and the data in it when its blocks are decompressed.
    pub(super) size: u64,
    pub(super) data_size: u64,
    pub(super) records: BTreeMap<&'static str, u64>,
    pub(super) part_count: u64,
    /// The first parts: one of a stream that is not compound.
    pub(super) parts: Vec<PartReport>,
}

/// A snapshot in a stream. GUIDs are texts, as in manifests, because numbers in JSON are not that large.
#[derive(Debug, Serialize)]
pub(super) struct PartReport {
    pub(super) snapshot: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) guid: String,
    /// The GUID of the snapshot that an incremental stream needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from_guid: Option<String>,
    pub(super) incremental: bool,
    pub(super) clone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    pub(super) size: u64,
    pub(super) data_size: u64,
}

/// What follows the compressed data.
#[derive(Debug, Serialize)]
pub(super) struct FollowingReport {
    pub(super) kind: &'static str,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Report {
    pub(super) fn new(contents: &Contents) -> Report {
        let stream = contents.data.stream.as_ref();
        Report {
            compression: contents.encoding.name(),
            size: contents.size,
            uncompressed_size: contents.data.size,
            contents: match contents.data.kind {
                DataKind::Empty => "empty",
                DataKind::ZfsStream => "zfs-stream",
                DataKind::Tar => "tar",
                DataKind::Html => "html",
                DataKind::Unknown => "unknown",
            },
            stream: stream.and_then(|stream| {
                let summary = stream.summary.as_ref()?;
                let is_whole = stream.failure.is_none() && contents.undecodable.is_none();
                Some(StreamReport::new(summary, is_whole))
            }),
            following: contents.following.map(FollowingReport::new),
            damaged: contents.is_damaged(),
            damage: damage(contents),
            warnings: warnings(contents),
        }
    }
}

impl StreamReport {
    fn new(summary: &Summary, sums_right: bool) -> StreamReport {
        let counts = RecordKind::ALL.map(|kind| (kind.name(), summary.records.of(kind)));
        let unknown = summary.features.unknown_bits();
        StreamReport {
            byte_order: match summary.order {
                ByteOrder::Little => "little-endian",
                ByteOrder::Big => "big-endian",
            },
            compound: summary.is_compound,
            features: summary.features.known().map(Feature::name).collect(),
            unknown_features: (unknown != 0).then(|| format!("{unknown:#x}")),
            sums_right,
            size: summary.length,
            data_size: summary.logical,
            records: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
            part_count: summary.part_count,
            parts: summary.parts().iter().map(PartReport::new).collect(),
        }
    }
}

impl PartReport {
    fn new(part: &Part) -> PartReport {
        let begin = &part.begin;
        let created =
            i64::try_from(begin.created).ok().and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
        PartReport {
            snapshot: begin.name.clone(),
            kind: match begin.kind {
                DatasetKind::FileSystem => "zfs".to_owned(),
                DatasetKind::Volume => "zvol".to_owned(),
                DatasetKind::Other(number) => number.to_string(),
            },
            guid: begin.to_guid.to_string(),
            from_guid: begin.is_incremental().then(|| begin.from_guid.to_string()),
            incremental: begin.is_incremental(),
            clone: begin.flags.is_clone(),
            created: created.and_then(|time| time.format(&Rfc3339).ok()),
            size: part.length,
            data_size: part.logical,
        }
    }
}

impl FollowingReport {
    fn new(following: Following) -> FollowingReport {
        FollowingReport {
            kind: match following.kind {
                FollowingKind::Zeros => "zeros",
                FollowingKind::HiddenMember => "hidden-member",
                FollowingKind::Garbage => "garbage",
            },
            offset: following.offset,
            size: following.length,
        }
    }
}

fn damage(contents: &Contents) -> Vec<String> {
    let undecodable = contents.undecodable.iter();
    let undecodable =
        undecodable.map(|reason| format!("it cannot be decompressed with {}: {reason}", contents.encoding));
    let stream = contents.data.stream.as_ref().and_then(|stream| stream.failure.as_ref());
    undecodable.chain(stream.map(|failure| format!("the ZFS stream is damaged: {failure}"))).collect()
}

/// Says what a compute node would stumble over although nothing is damaged.
fn warnings(contents: &Contents) -> Vec<String> {
    let mut warnings = Vec::new();
    if matches!(contents.encoding, Encoding::Zstd) {
        warnings.push("IMGAPI has no compression zstd, and compute nodes cannot unpack it".to_owned());
    }
    if let Some(Following { offset, length, kind }) = contents.following {
        let what = match kind {
            FollowingKind::Zeros => "zeros",
            FollowingKind::HiddenMember => "zeros and another compressed part, which is hidden behind them",
            FollowingKind::Garbage => "something else",
        };
        warnings.push(format!(
            "the compressed data ends at byte {offset}; {length} bytes follow, which {} ignores: {what}",
            contents.encoding
        ));
    }
    match (&contents.data.stream, contents.data.kind) {
        (Some(stream), _) => warnings.extend(stream_warnings(stream)),
        (None, DataKind::Html) => warnings.push("this is an HTML page, and no ZFS stream".to_owned()),
        (None, DataKind::Empty) => warnings.push("there are no bytes in it".to_owned()),
        (None, _) => {}
    }
    warnings
}

fn stream_warnings(stream: &Stream) -> Vec<String> {
    let mut warnings = Vec::new();
    if stream.bytes_after > 0 {
        let count = stream.bytes_after;
        warnings
            .push(format!("{count} bytes follow the end of the ZFS stream, which zfs receive does not read"));
    }
    let Some(summary) = &stream.summary else { return warnings };
    let flaws = [
        (Feature::Resuming, "the stream is the rest of an interrupted one (zfs send -t), and no image"),
        (Feature::Raw, "the stream is raw (zfs send -w): only those who have the key can use it"),
        (Feature::Redacted, "the stream is redacted: parts of the data are missing by intention"),
    ];
    let flaws = flaws.into_iter().filter(|(feature, _)| summary.features.contains(*feature));
    warnings.extend(flaws.map(|(_, flaw)| flaw.to_owned()));
    if summary.is_compound {
        warnings.push("the stream is compound (zfs send -R or -p): its snapshots are listed".to_owned());
    }
    warnings
}
