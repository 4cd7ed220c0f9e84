// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A stored row, and the object that clients receive for it.

use rusqlite::Row;
use serde_json::{Map, Value};

use crate::moray::bucket::{Bucket, quote};
use crate::moray::error::Result;
use crate::moray::filter::Subject;

/// A stored object, overlaid with its columns.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: Map<String, Value>,
    pub(super) id: i64,
    pub(super) etag: String,
    pub(super) mtime: i64,
}

/// Returns the columns that [`Record::read`] needs, from a table with the alias `t`.
pub(super) fn columns(bucket: &Bucket) -> String {
    let mut columns = "t._id, t._key, t._value, t._etag, t._mtime".to_owned();
    for index in &bucket.indexes {
        columns.push_str(", t.");
        columns.push_str(&quote(&index.name));
    }
    columns
}

impl Record {
    /// Reads a row of [`columns`].
    ///
    /// The columns take precedence over the JSON text, because `updateObjects` changes only them. A NULL removes the member,
    /// unless the member is null. A value replaces the member, unless it is an array under a scalar index. An index that is still
    /// being filled is ignored.
    pub(super) fn read(bucket: &Bucket, row: &Row<'_>) -> Result<Self> {
        let text: String = row.get(2)?;
        let mut value: Map<String, Value> = serde_json::from_str(&text)?;
        for (at, index) in bucket.indexes.iter().enumerate() {
            if bucket.is_reindexing(&index.name) {
                continue;
            }
            let present = value.get(&index.name);
            match index.kind.decode(row.get_ref(5 + at)?)? {
                None if present == Some(&Value::Null) => {}
                None => {
                    value.shift_remove(&index.name);
                }
                Some(_) if present.is_some_and(Value::is_array) && !index.kind.array => {}
                Some(column) => {
                    value.insert(index.name.clone(), column);
                }
            }
        }
        Ok(Self { key: row.get(1)?, value, id: row.get(0)?, etag: row.get(3)?, mtime: row.get(4)? })
    }

    /// Returns the row for the second pass of a filter.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { value: &self.value, id: self.id, key: &self.key, etag: &self.etag, mtime: self.mtime }
    }

    /// Returns the object in wire form. `count` is `_count`; `None` leaves it out.
    pub(super) fn into_wire(self, bucket: &str, count: Option<Value>) -> Value {
        let mut record = Map::new();
        record.insert("bucket".to_owned(), bucket.into());
        record.insert("key".to_owned(), self.key.into());
        record.insert("value".to_owned(), Value::Object(self.value));
        record.insert("_id".to_owned(), self.id.into());
        record.insert("_etag".to_owned(), self.etag.into());
        record.insert("_mtime".to_owned(), self.mtime.into());
        record.insert("_txn_snap".to_owned(), Value::Null);
        if let Some(count) = count {
            record.insert("_count".to_owned(), count);
        }
        Value::Object(record)
    }
}
