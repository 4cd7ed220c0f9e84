// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The log of a service under test. It is read only once, however often tests look at it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// The complete lines that were read so far.
#[derive(Default)]
pub(crate) struct LogReader {
    offset: u64,
    /// Bytes of an incomplete line.
    rest: Vec<u8>,
    records: Vec<Value>,
    /// Index in `records` of the audit record of a request, by the request's id.
    audits: HashMap<String, usize>,
}

impl LogReader {
    /// Returns all records in the file.
    pub(crate) fn records(&mut self, path: &Path) -> &[Value] {
        self.read_on(path);
        &self.records
    }

    /// Returns the first audit record of a request, if it is in the file.
    pub(crate) fn audit(&mut self, path: &Path, req_id: &str) -> Option<&Value> {
        self.read_on(path);
        self.audits.get(req_id).map(|index| &self.records[*index])
    }

    fn read_on(&mut self, path: &Path) {
        let mut file = File::open(path).unwrap();
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        self.offset += file.read_to_end(&mut self.rest).unwrap() as u64;
        let complete = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..complete).collect();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line)
                .unwrap_or_else(|_| panic!("no record: {}", String::from_utf8_lossy(line)));
            if record["_audit"] == true
                && let Some(req_id) = record["req_id"].as_str()
            {
                self.audits.entry(req_id.to_owned()).or_insert(self.records.len());
            }
            self.records.push(record);
        }
    }
}
