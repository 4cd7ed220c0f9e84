// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The bytes of a record: its length, its byte order, and the numbers in it.

/// Length of every record in bytes (`dmu_replay_record_t`), without its payload.
pub const RECORD_LEN: usize = 312;

/// Number of bytes at the beginning of a stream that [`ByteOrder::of`] needs.
pub const PREFIX_LEN: usize = 16;

/// Offset of a record's sum (`drr_checksum`), which covers all bytes of the stream before it.
pub(crate) const SUM_AT: usize = 280;

/// `DMU_BACKUP_MAGIC`.
const MAGIC: u64 = 0x2_F5BA_CBAC;

/// Offset of the magic number in a BEGIN record.
const MAGIC_AT: usize = 8;

/// The bytes of one record.
pub(crate) type RecordBytes = [u8; RECORD_LEN];

/// The order of bytes in all numbers of a stream: that of the machine that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lowest byte first, as on x86.
    Little,
    /// The highest byte first, as on SPARC.
    Big,
}

impl ByteOrder {
    /// Returns the byte order of the stream that begins with these bytes; `None` if they do not begin a stream, or if there are
    /// fewer than [`PREFIX_LEN`].
    ///
    /// Only the type of the record (0, BEGIN) and the magic number count. The payload's length between them may be anything.
    pub fn of(bytes: &[u8]) -> Option<ByteOrder> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let magic = rest.get(MAGIC_AT - 4..)?.first_chunk()?;
        let order =
            [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u64(*magic) == MAGIC)?;
        (*kind == [0; 4]).then_some(order)
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// The fields of one record, by their offsets.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a RecordBytes,
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a RecordBytes, order: ByteOrder) -> Fields<'a> {
        Fields { bytes, order }
    }

    /// Returns `N` bytes. All offsets are constants of this crate; zeros beyond the end keep this free of panics.
    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(crate) fn u8(self, at: usize) -> u8 {
        let [byte] = self.array(at);
        byte
    }

    pub(crate) fn u32(self, at: usize) -> u32 {
        self.order.u32(self.array(at))
    }

    pub(crate) fn u64(self, at: usize) -> u64 {
        self.order.u64(self.array(at))
    }

    /// Returns the bytes from `at` up to `end`.
    pub(crate) fn bytes(self, at: usize, end: usize) -> &'a [u8] {
        self.bytes.get(at..end).unwrap_or_default()
    }

    pub(crate) fn has_magic(self) -> bool {
        self.u64(MAGIC_AT) == MAGIC
    }
}
