// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::fletcher::Sum;
use crate::record::RecordKind;

/// Why bytes are not a good stream, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {record} at byte {offset}: {reason}")]
pub struct Error {
    /// Where the record begins in the stream, in bytes.
    pub offset: u64,
    /// The number of the record, counted from 0.
    pub record: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes do not begin like a stream.
    #[error("this is no ZFS stream")]
    NoStream,
    /// There is no kind of records with this number.
    #[error("records of type {0} do not exist")]
    UnknownKind(u32),
    /// The record may not be here.
    #[error("a record {0} is out of place")]
    OutOfPlace(RecordKind),
    /// A BEGIN record inside the stream has no magic number, or one in another byte order.
    #[error("BEGIN has no magic number")]
    NoMagic,
    /// A record says that more bytes follow than may.
    #[error("a length of {length} bytes, where {most} are the most")]
    TooLong {
        /// The length in the record.
        length: u64,
        /// The maximum.
        most: u64,
    },
    /// The length of a payload is no multiple of 4.
    #[error("a payload of {0} bytes, which is no multiple of 4")]
    NotInWords(u64),
    /// The sum of the record is not that of the bytes before it.
    #[error("the sum of {kind} is {stored}, but the bytes have {computed}")]
    WrongSum {
        /// The record's kind.
        kind: RecordKind,
        /// The sum in the record.
        stored: Sum,
        /// The sum of the bytes.
        computed: Sum,
    },
    /// The sum in END is not that of all records since BEGIN.
    #[error("END says that the sum of all records is {stored}, but they have {computed}")]
    WrongEndSum {
        /// The sum in the record.
        stored: Sum,
        /// The sum of the bytes.
        computed: Sum,
    },
    /// END names another snapshot than BEGIN.
    #[error("END has the GUID {end}, but BEGIN has {begin}")]
    OtherGuid {
        /// The GUID in BEGIN.
        begin: u64,
        /// The GUID in END.
        end: u64,
    },
    /// There are bytes in END where zeros should be.
    #[error("END has bytes where it should have zeros")]
    NotZero,
    /// The stream ends before its last END.
    #[error("the stream is cut off after {0} bytes")]
    CutOff(u64),
}
