// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `reindexObjects`: fills the columns of new indexes, some rows at a time.

use rusqlite::types::Value as Column;
use rusqlite::{Transaction, params, params_from_iter};

use super::buckets;
use super::objects::{index_columns, unique_error, update_sql};
use super::row::{Record, columns};
use crate::moray::bucket::Bucket;
use crate::moray::error::{MorayError, Result};

/// Progress of a reindexing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Number of rows that this call rewrote.
    pub(crate) processed: usize,
    /// Number of remaining rows; `None` if the bucket is not being reindexed, or if the caller did not ask.
    pub(crate) remaining: Option<i64>,
}

/// Rewrites up to `count` rows that are older than the bucket's version. The call that finds none makes the new indexes usable.
pub(crate) fn reindex_objects(
    transaction: &Transaction<'_>,
    bucket: &str,
    count: i64,
    no_count: bool,
) -> Result<Progress> {
    let bucket = buckets::load(transaction, bucket)?;
    if count < 1 {
        return Err(MorayError::InvalidArgument(count));
    }
    if bucket.reindex_active.is_empty() {
        return Ok(Progress { processed: 0, remaining: None });
    }
    let version = i64::try_from(bucket.version()).unwrap_or(i64::MAX);
    let rows = rows_behind(transaction, &bucket, version, count)?;
    for record in &rows {
        rewrite(transaction, &bucket, version, record)?;
    }
    if rows.is_empty() {
        transaction
            .execute("UPDATE buckets_config SET reindex_active = '{}' WHERE name = ?1", [&bucket.name])?;
    }
    let remaining = if no_count {
        None
    } else {
        let sql = format!("SELECT count(*) FROM {} WHERE _rver IS NULL OR _rver < ?1", bucket.table());
        Some(transaction.query_row(&sql, [version], |row| row.get(0))?)
    };
    Ok(Progress { processed: rows.len(), remaining })
}

fn rows_behind(
    transaction: &Transaction<'_>,
    bucket: &Bucket,
    version: i64,
    count: i64,
) -> Result<Vec<Record>> {
    let sql = format!(
        "SELECT {} FROM {} AS t WHERE t._rver IS NULL OR t._rver < ?1 LIMIT ?2",
        columns(bucket),
        bucket.table()
    );
    let mut statement = transaction.prepare(&sql)?;
    let mut rows = statement.query(params![version, count])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(Record::read(bucket, row)?);
    }
    Ok(records)
}

/// Rewrites the columns from the object, and the object with the values that `updateObjects` wrote into columns only.
fn rewrite(transaction: &Transaction<'_>, bucket: &Bucket, version: i64, record: &Record) -> Result<()> {
    let mut fields = index_columns(bucket, &record.value)?;
    fields.push(("_value".to_owned(), Column::Text(serde_json::to_string(&record.value)?)));
    fields.push(("_rver".to_owned(), Column::Integer(version)));
    let sql = update_sql(bucket, &fields, "_id");
    let values = fields.iter().map(|(_, value)| value.clone()).chain([Column::Integer(record.id)]);
    transaction
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))
        .map_err(|error| unique_error(error, bucket, &fields))?;
    Ok(())
}
