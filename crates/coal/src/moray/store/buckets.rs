// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bucket definitions and their tables.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::{Map, Value, json};

use super::now;
use crate::moray::bucket::{Bucket, Index, quote};
use crate::moray::error::{MorayError, Result};
use crate::moray::index::date_text;

/// Columns besides the key that Moray indexes in every bucket. SQLite counts rows by the index of `_id` without reading them, as
/// PostgreSQL does.
const INDEXED_FIELDS: [&str; 3] = ["_id", "_etag", "_mtime"];

/// Creates the table of definitions, with the same columns as Moray's.
pub(super) fn create_table(connection: &Connection) -> Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS buckets_config (
             name TEXT NOT NULL PRIMARY KEY, \"index\" TEXT NOT NULL, options TEXT NOT NULL,
             reindex_active TEXT NOT NULL, mtime INTEGER NOT NULL)",
    )?;
    Ok(())
}

/// Loads the definition of a bucket.
pub(super) fn load(connection: &Connection, name: &str) -> Result<Bucket> {
    let mut statement = connection.prepare_cached(
        "SELECT name, \"index\", options, reindex_active, mtime FROM buckets_config WHERE name = ?1",
    )?;
    let stored = statement.query_row([name], read_row).optional()?;
    stored.ok_or_else(|| MorayError::BucketNotFound(name.to_owned())).and_then(StoredBucket::parse)
}

struct StoredBucket {
    name: String,
    index: String,
    options: String,
    reindex_active: String,
    mtime: i64,
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<StoredBucket> {
    Ok(StoredBucket {
        name: row.get(0)?,
        index: row.get(1)?,
        options: row.get(2)?,
        reindex_active: row.get(3)?,
        mtime: row.get(4)?,
    })
}

impl StoredBucket {
    fn parse(self) -> Result<Bucket> {
        let mut config = Map::new();
        config.insert("index".to_owned(), serde_json::from_str(&self.index)?);
        config.insert("options".to_owned(), serde_json::from_str(&self.options)?);
        let mut bucket = Bucket::parse(&self.name, &config, self.mtime)?;
        bucket.reindex_active = serde_json::from_str(&self.reindex_active)?;
        Ok(bucket)
    }
}

/// Returns the row of `getBucket` and `listBuckets`: JSON inside JSON, because Moray passes on the rows of its table.
fn wire_row(bucket: &Bucket) -> Value {
    let mut row = json!({
        "name": bucket.name,
        "index": bucket.index_json().to_string(),
        "pre": "[]",
        "post": "[]",
        "options": Value::Object(bucket.options.clone()).to_string(),
        "mtime": date_text(bucket.mtime),
    });
    if let (Some(row), false) = (row.as_object_mut(), bucket.reindex_active.is_empty()) {
        let active = Value::Object(bucket.reindex_active.clone()).to_string();
        row.insert("reindex_active".to_owned(), active.into());
    }
    row
}

/// `getBucket`
pub(crate) fn get_bucket(transaction: &Transaction<'_>, name: &str) -> Result<Value> {
    load(transaction, name).map(|bucket| wire_row(&bucket))
}

/// `listBuckets`
pub(crate) fn list_buckets(transaction: &Transaction<'_>) -> Result<Vec<Value>> {
    let mut statement = transaction.prepare_cached(
        "SELECT name, \"index\", options, reindex_active, mtime FROM buckets_config ORDER BY name",
    )?;
    let rows = statement.query_map([], read_row)?;
    rows.map(|row| row.map_err(MorayError::from)?.parse().map(|bucket| wire_row(&bucket))).collect()
}

/// Returns the names of all buckets.
pub(super) fn names(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM buckets_config")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// `createBucket`
pub(crate) fn create_bucket(
    transaction: &Transaction<'_>,
    name: &str,
    config: &Map<String, Value>,
) -> Result<()> {
    let bucket = Bucket::parse(name, config, now())?;
    let exists =
        transaction.prepare_cached("SELECT 1 FROM buckets_config WHERE name = ?1")?.exists([name])?;
    if exists {
        return Err(MorayError::BucketConflict(name.to_owned()));
    }
    transaction.execute(
        "INSERT INTO buckets_config (name, \"index\", options, reindex_active, mtime) VALUES (?1, ?2, ?3, '{}', ?4)",
        params![name, bucket.index_json().to_string(), Value::from(bucket.options.clone()).to_string(), bucket.mtime],
    )?;
    // With AUTOINCREMENT an `_id` is never reused, as with a PostgreSQL sequence.
    let columns: String = bucket.indexes.iter().map(|index| format!(", {}", column(index))).collect();
    transaction
        .execute_batch(&format!(
            "CREATE TABLE {} (
                 _id INTEGER PRIMARY KEY AUTOINCREMENT, _key TEXT NOT NULL UNIQUE, _value TEXT NOT NULL,
                 _etag TEXT NOT NULL, _mtime INTEGER NOT NULL, _txn_snap INTEGER, _rver INTEGER{columns})",
            bucket.table()
        ))
        .map_err(|error| MorayError::Internal(format!("unable to create bucket: {error}")))?;
    for column in INDEXED_FIELDS {
        create_column_index(transaction, &bucket, column, "")?;
    }
    bucket.indexes.iter().try_for_each(|index| create_index(transaction, &bucket, index))
}

fn column(index: &Index) -> String {
    format!("{} {}", quote(&index.name), index.kind.sql())
}

fn index_name(bucket: &Bucket, index: &str) -> String {
    quote(&format!("bucket_{}.{index}", bucket.name))
}

fn create_index(transaction: &Transaction<'_>, bucket: &Bucket, index: &Index) -> Result<()> {
    create_column_index(transaction, bucket, &index.name, if index.unique { "UNIQUE " } else { "" })
}

fn create_column_index(
    transaction: &Transaction<'_>,
    bucket: &Bucket,
    column: &str,
    unique: &str,
) -> Result<()> {
    transaction.execute_batch(&format!(
        "CREATE {unique}INDEX {} ON {} ({})",
        index_name(bucket, column),
        bucket.table(),
        quote(column)
    ))?;
    Ok(())
}

/// `delBucket`
pub(crate) fn delete_bucket(transaction: &Transaction<'_>, name: &str) -> Result<()> {
    let bucket = load(transaction, name)?;
    transaction.execute("DELETE FROM buckets_config WHERE name = ?1", [name])?;
    transaction.execute_batch(&format!("DROP TABLE {}", bucket.table()))?;
    Ok(())
}

/// `updateBucket`. New indexes of a versioned bucket are not used until they have been filled, except with `no_reindex`.
pub(crate) fn update_bucket(
    transaction: &Transaction<'_>,
    name: &str,
    config: &Map<String, Value>,
    no_reindex: bool,
) -> Result<()> {
    let mut bucket = Bucket::parse(name, config, now())?;
    let stored = load(transaction, name)?;
    if stored.version() != 0 && stored.version() >= bucket.version() {
        return Err(MorayError::BucketVersion {
            bucket: name.to_owned(),
            wanted: bucket.version(),
            stored: stored.version(),
        });
    }
    let added: Vec<&Index> =
        bucket.indexes.iter().filter(|index| stored.index(&index.name).is_none()).collect();
    let mut reindex_active = stored.reindex_active.clone();
    if bucket.version() != 0 && !no_reindex && !added.is_empty() {
        let names: Value = added.iter().map(|index| index.name.as_str()).collect();
        reindex_active.insert(bucket.version().to_string(), names);
    }
    change_columns(transaction, &stored, &bucket, &added)?;
    bucket.reindex_active = reindex_active;
    transaction.execute(
        "UPDATE buckets_config SET \"index\" = ?2, options = ?3, reindex_active = ?4, mtime = ?5 WHERE name = ?1",
        params![
            name,
            bucket.index_json().to_string(),
            Value::from(bucket.options.clone()).to_string(),
            Value::from(bucket.reindex_active.clone()).to_string(),
            bucket.mtime
        ],
    )?;
    Ok(())
}

/// Drops and adds columns. An index whose type or uniqueness changed keeps its column, because Moray does not convert columns
/// either.
fn change_columns(
    transaction: &Transaction<'_>,
    stored: &Bucket,
    wanted: &Bucket,
    added: &[&Index],
) -> Result<()> {
    for gone in stored.indexes.iter().filter(|index| wanted.index(&index.name).is_none()) {
        transaction.execute_batch(&format!(
            "DROP INDEX {}; ALTER TABLE {} DROP COLUMN {}",
            index_name(stored, &gone.name),
            stored.table(),
            quote(&gone.name)
        ))?;
    }
    for index in added {
        transaction.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {}", stored.table(), column(index)))?;
        create_index(transaction, wanted, index)?;
    }
    Ok(())
}
