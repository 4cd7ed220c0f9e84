// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `batch`: many writes in one transaction.

use rusqlite::Transaction;
use serde_json::{Map, Value, json};

use super::many::{delete_many, update_objects};
use super::objects::{Expected, delete_object, put_object};
use crate::moray::error::Result;
use crate::moray::rpc::FindOptions;

/// One write of a batch.
#[derive(Debug)]
pub(crate) struct BatchItem {
    /// The bucket.
    pub(crate) bucket: String,
    /// What to do there.
    pub(crate) operation: BatchOperation,
}

/// The operation of a batch item.
#[derive(Debug)]
pub(crate) enum BatchOperation {
    /// `putObject`
    Put { key: String, value: Map<String, Value>, expected: Expected },
    /// `delObject`
    Delete { key: String, expected: Expected },
    /// `updateObjects`
    Update { fields: Map<String, Value>, filter: String, options: FindOptions },
    /// `deleteMany`
    DeleteMany { filter: String, options: FindOptions },
}

/// Does all of the writes, or none. Returns the `etags` of the reply.
pub(crate) fn batch(transaction: &Transaction<'_>, items: &[BatchItem]) -> Result<Vec<Value>> {
    items.iter().map(|item| one(transaction, item)).collect()
}

fn one(transaction: &Transaction<'_>, item: &BatchItem) -> Result<Value> {
    let bucket = &item.bucket;
    Ok(match &item.operation {
        BatchOperation::Put { key, value, expected } => {
            let etag = put_object(transaction, bucket, key, value, expected)?;
            json!({"bucket": bucket, "etag": etag, "key": key})
        }
        BatchOperation::Delete { key, expected } => {
            delete_object(transaction, bucket, key, expected)?;
            json!({"bucket": bucket, "key": key})
        }
        BatchOperation::Update { fields, filter, options } => {
            let (count, etag) = update_objects(transaction, bucket, fields, filter, options)?;
            json!({"bucket": bucket, "count": count, "etag": etag, "filter": filter})
        }
        BatchOperation::DeleteMany { filter, options } => {
            let count = delete_many(transaction, bucket, filter, options)?;
            json!({"bucket": bucket, "count": count, "filter": filter})
        }
    })
}
