// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kinds of records, and the length of what follows each of them.

use std::fmt;

use crate::error::Reason;
use crate::wire::Fields;

/// The longest payload of a record with a block, in bytes (`SPA_MAXBLOCKSIZE`).
const MAX_BLOCK: u64 = 16 << 20;

/// The longest payload of BEGIN, in bytes: `zfs receive` reads no longer list (`libzfs_max_nvlist`).
const MAX_BEGIN: u64 = 64 << 20;

/// The longest embedded block, in bytes (`BPE_PAYLOAD_SIZE`).
const MAX_EMBEDDED: u64 = 112;

/// The kind of a record (`drr_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Begins a stream, or a part of a compound one.
    Begin,
    /// A file, directory or other object. The payload is its bonus buffer.
    Object,
    /// Objects that do not exist.
    FreeObjects,
    /// A block of an object. The payload is the block.
    Write,
    /// A range of an object that has no blocks.
    Free,
    /// Ends what BEGIN has begun.
    End,
    /// A block that is equal to an earlier one.
    WriteByReference,
    /// A spill block of an object: the payload.
    Spill,
    /// A small block. The payload is compressed.
    WriteEmbedded,
    /// Objects of an encrypted dataset.
    ObjectRange,
    /// A range that is left out by intention.
    Redact,
}

impl RecordKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [RecordKind; 11] = [
        RecordKind::Begin,
        RecordKind::Object,
        RecordKind::FreeObjects,
        RecordKind::Write,
        RecordKind::Free,
        RecordKind::End,
        RecordKind::WriteByReference,
        RecordKind::Spill,
        RecordKind::WriteEmbedded,
        RecordKind::ObjectRange,
        RecordKind::Redact,
    ];

    /// The kind with this number; `None` if there is none.
    pub fn from_number(number: u32) -> Option<RecordKind> {
        RecordKind::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The name of the kind, as `zstream dump` prints it after `DRR_`.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Begin => "BEGIN",
            RecordKind::Object => "OBJECT",
            RecordKind::FreeObjects => "FREEOBJECTS",
            RecordKind::Write => "WRITE",
            RecordKind::Free => "FREE",
            RecordKind::End => "END",
            RecordKind::WriteByReference => "WRITE_BYREF",
            RecordKind::Spill => "SPILL",
            RecordKind::WriteEmbedded => "WRITE_EMBEDDED",
            RecordKind::ObjectRange => "OBJECT_RANGE",
            RecordKind::Redact => "REDACT",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record of a stream, other than BEGIN and END.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its kind.
    pub kind: RecordKind,
    /// Where it begins in the stream, in bytes.
    pub offset: u64,
    /// The length of its payload in bytes.
    pub payload: u64,
    /// The length of the data that it stands for, decompressed, in bytes; 0 for records without data.
    pub logical: u64,
}

/// Returns the lengths of a record's payload and of the data in it.
pub(crate) fn lengths(kind: RecordKind, fields: Fields<'_>) -> Result<(u64, u64), Reason> {
    let to_words_of_8 = |length: u32| u64::from(length).next_multiple_of(8);
    let (payload, logical, most) = match kind {
        RecordKind::Begin => (fields.u32(4).into(), 0, MAX_BEGIN),
        RecordKind::Object => match fields.u32(36) {
            0 => (to_words_of_8(fields.u32(28)), 0, MAX_BLOCK),
            raw => (raw.into(), 0, MAX_BLOCK),
        },
        RecordKind::Write => {
            let logical = fields.u64(32);
            let is_compressed = fields.u8(50) != 0;
            (if is_compressed { fields.u64(96) } else { logical }, logical, MAX_BLOCK)
        }
        RecordKind::Spill => {
            let logical = fields.u64(16);
            let compressed = fields.u64(40);
            (if compressed != 0 { compressed } else { logical }, logical, MAX_BLOCK)
        }
        RecordKind::WriteEmbedded => (to_words_of_8(fields.u32(52)), fields.u64(24), MAX_EMBEDDED),
        RecordKind::FreeObjects
        | RecordKind::Free
        | RecordKind::End
        | RecordKind::WriteByReference
        | RecordKind::ObjectRange
        | RecordKind::Redact => (0, 0, 0),
    };
    match (payload, logical) {
        _ if payload > most => Err(Reason::TooLong { length: payload, most }),
        _ if logical > MAX_BLOCK => Err(Reason::TooLong { length: logical, most: MAX_BLOCK }),
        _ if !payload.is_multiple_of(4) => Err(Reason::NotInWords(payload)),
        lengths => Ok(lengths),
    }
}
