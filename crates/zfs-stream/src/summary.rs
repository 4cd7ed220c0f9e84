// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a whole stream is.

use crate::begin::Begin;
use crate::features::Features;
use crate::record::{Record, RecordKind};
use crate::wire::{ByteOrder, RECORD_LEN};

/// Parts of a compound stream that a [`Summary`] describes. More are only counted, so that memory is bounded.
pub const MAX_PARTS: usize = 64;

/// Numbers of records by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCounts([u64; RecordKind::ALL.len()]);

impl RecordCounts {
    /// Returns the number of records of a kind.
    pub fn of(&self, kind: RecordKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    /// Returns the number of all records.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, kind: RecordKind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }
}

/// A stream that is not compound, or a part of a compound one: from BEGIN to END.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What its BEGIN says.
    pub begin: Begin,
    /// Where it begins in the stream, in bytes.
    pub offset: u64,
    /// Its length in bytes, BEGIN and END included.
    pub length: u64,
    /// Bytes of data in its records after decompression.
    pub logical: u64,
}

/// What a stream is, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The byte order of the sender.
    pub order: ByteOrder,
    /// Whether the stream consists of parts (`zfs send -R`, `-p`).
    pub is_compound: bool,
    /// The features of all parts.
    pub features: Features,
    /// The number of parts; 1 if the stream is not compound.
    pub part_count: u64,
    /// The length of the stream in bytes.
    pub length: u64,
    /// Bytes of payloads in it.
    pub payload: u64,
    /// Bytes of data in its records after decompression.
    pub logical: u64,
    /// Its records. `zstream dump` counts them alike.
    pub records: RecordCounts,
    parts: Vec<Part>,
}

impl Summary {
    pub(crate) fn new(order: ByteOrder, is_compound: bool) -> Summary {
        Summary {
            order,
            is_compound,
            features: Features::default(),
            part_count: 0,
            length: 0,
            payload: 0,
            logical: 0,
            records: RecordCounts::default(),
            parts: Vec::new(),
        }
    }

    /// Returns the parts in their order, at most [`MAX_PARTS`].
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn begin_part(&mut self, begin: Begin, offset: u64) {
        self.part_count += 1;
        self.features = self.features.union(begin.features);
        if self.parts.len() < MAX_PARTS {
            self.parts.push(Part { begin, offset, length: 0, logical: 0 });
        }
    }

    /// Counts a record. The first records and the last END of a compound stream are in no part.
    pub(crate) fn add_record(&mut self, record: &Record, is_in_part: bool) {
        let length = (RECORD_LEN as u64).saturating_add(record.payload);
        self.records.count(record.kind);
        self.length = self.length.saturating_add(length);
        self.payload = self.payload.saturating_add(record.payload);
        self.logical = self.logical.saturating_add(record.logical);
        let is_described = is_in_part && self.part_count == self.parts.len() as u64;
        if let Some(part) = self.parts.last_mut().filter(|_| is_described) {
            part.length = part.length.saturating_add(length);
            part.logical = part.logical.saturating_add(record.logical);
        }
    }
}
