// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The log of a service under test, read only once however often it is asked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// The complete lines that were read so far.
#[derive(Default)]
pub(crate) struct LogReader {
    offset: u64,
    /// Bytes of a line that is not complete yet.
    rest: Vec<u8>,
    records: Vec<Value>,
    /// Where the audit record of a request is in `records`, by the request's id.
    audits: HashMap<String, usize>,
}

impl LogReader {
    /// All records that are in the file now.
    pub(crate) fn records(&mut self, path: &Path) -> &[Value] {
        self.read_on(path);
        &self.records
    }

    /// The first audit record of a request, if it is in the file now.
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
