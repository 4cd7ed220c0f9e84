// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Streams for tests: real ones, and a builder.

use std::io::Read;

use zfs_stream::{ByteOrder, Fletcher4, RecordKind};

/// The names of the real streams in `tests/data`, without extension.
pub(crate) const REAL: [&str; 5] = [
    "little-endian-all-drr-types-base-NATIVE",
    "little-endian-all-drr-types-incr-NATIVE",
    "big-endian-all-drr-types-base-NATIVE",
    "big-endian-all-drr-types-incr-NATIVE",
    "decompress",
];

pub(crate) fn real(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}.zsend.bz2", env!("CARGO_MANIFEST_DIR"));
    let mut stream = Vec::new();
    bzip2::read::BzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut stream).unwrap();
    stream
}

/// Builds a stream record by record.
pub(crate) struct Builder {
    order: ByteOrder,
    /// Whether each record has a sum, as those of senders of today.
    has_sums: bool,
    sum: Fletcher4,
    pub(crate) bytes: Vec<u8>,
}

impl Builder {
    pub(crate) fn new(order: ByteOrder, has_sums: bool) -> Builder {
        Builder { order, has_sums, sum: Fletcher4::new(order), bytes: Vec::new() }
    }

    pub(crate) fn u32(&self, number: u32) -> [u8; 4] {
        match self.order {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        }
    }

    pub(crate) fn u64(&self, number: u64) -> [u8; 8] {
        match self.order {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        }
    }

    /// Adds a record with these fields (offset and bytes) and this payload.
    pub(crate) fn record(&mut self, kind: u32, fields: &[(usize, &[u8])], payload: &[u8]) {
        let mut record = [0; 312];
        record[..4].copy_from_slice(&self.u32(kind));
        for (at, bytes) in fields {
            record[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        self.sum.update(&record[..280]);
        if self.has_sums && kind != RecordKind::Begin as u32 {
            self.put_sum(&mut record, 280);
        }
        self.sum.update(&record[280..]);
        self.sum.update(payload);
        self.bytes.extend_from_slice(&record);
        self.bytes.extend_from_slice(payload);
    }

    fn put_sum(&self, record: &mut [u8; 312], at: usize) {
        for (number, word) in self.sum.sum().0.into_iter().enumerate() {
            record[at + 8 * number..][..8].copy_from_slice(&self.u64(word));
        }
    }

    pub(crate) fn begin(&mut self, version: u64, kind: u32, guids: (u64, u64), name: &str, list: &[u8]) {
        self.sum = Fletcher4::new(self.order);
        let (length, magic) = (self.u32(list.len() as u32), self.u64(0x2_F5BA_CBAC));
        let (version, kind) = (self.u64(version), self.u32(kind));
        let (to, from) = (self.u64(guids.0), self.u64(guids.1));
        let fields: [(usize, &[u8]); 7] = [
            (4, &length),
            (8, &magic),
            (16, &version),
            (32, &kind),
            (40, &to),
            (48, &from),
            (56, name.as_bytes()),
        ];
        self.record(0, &fields, list);
    }

    pub(crate) fn write(&mut self, logical: u64, compression: u8, payload: &[u8]) {
        let (logical, compressed) = (self.u64(logical), self.u64(payload.len() as u64));
        let compressed = if compression == 0 { [0; 8] } else { compressed };
        self.record(3, &[(32, &logical), (50, &[compression]), (96, &compressed)], payload);
    }

    pub(crate) fn end(&mut self, guid: u64) {
        let words = self.sum.sum().0.map(|word| self.u64(word)).concat();
        let guid = self.u64(guid);
        self.record(5, &[(8, &words), (40, &guid)], &[]);
    }

    /// The last END of a compound stream.
    pub(crate) fn end_all(&mut self) {
        let has_sums = std::mem::replace(&mut self.has_sums, false);
        self.record(5, &[], &[]);
        self.has_sums = has_sums;
    }
}
