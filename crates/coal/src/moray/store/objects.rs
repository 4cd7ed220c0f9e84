// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Single objects: put, get, delete.

use crc::{CRC_32_ISO_HDLC, Crc};
use rusqlite::types::Value as Column;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params_from_iter};
use serde_json::{Map, Value};

use super::row::{Record, columns};
use super::{buckets, now};
use crate::moray::bucket::{Bucket, quote};
use crate::moray::error::{MorayError, Result};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The condition of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No condition.
    Anything,
    /// There is no object.
    Nothing,
    /// The object has this etag.
    Etag(String),
}

/// Returns the etag of a JSON text: its CRC-32 as eight upper-case hexadecimal digits.
pub(super) fn etag_of(text: &str) -> String {
    format!("{:08X}", CRC.checksum(text.as_bytes()))
}

/// `putObject`. Returns the new etag.
pub(crate) fn put_object(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    value: &Map<String, Value>,
    expected: &Expected,
) -> Result<String> {
    let bucket = buckets::load(transaction, bucket)?;
    let stored = stored_etag(transaction, &bucket, key)?;
    check_etag(&bucket, key, expected, stored.as_deref())?;
    let text = serde_json::to_string(value)?;
    let etag = etag_of(&text);
    let mut fields = index_columns(&bucket, value)?;
    fields.push(("_value".to_owned(), Column::Text(text)));
    fields.push(("_etag".to_owned(), Column::Text(etag.clone())));
    fields.push(("_mtime".to_owned(), Column::Integer(now())));
    fields.push(("_rver".to_owned(), Column::Integer(i64::try_from(bucket.version()).unwrap_or(i64::MAX))));
    let sql =
        if stored.is_some() { update_sql(&bucket, &fields, "_key") } else { insert_sql(&bucket, &fields) };
    let values = fields.iter().map(|(_, value)| value.clone()).chain([Column::Text(key.to_owned())]);
    transaction
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))
        .map_err(|error| unique_error(error, &bucket, &fields))?;
    Ok(etag)
}

/// Returns every index column with its content for `value`.
pub(super) fn index_columns(bucket: &Bucket, value: &Map<String, Value>) -> Result<Vec<(String, Column)>> {
    let column = |index: &crate::moray::bucket::Index| {
        let member = value.get(&index.name).unwrap_or(&Value::Null);
        Ok((index.name.clone(), index.kind.encode(&index.name, member)?))
    };
    bucket.indexes.iter().map(column).collect()
}

/// Writes the statement that sets the fields, in order, in the row whose `id_column` is the last parameter.
pub(super) fn update_sql(bucket: &Bucket, fields: &[(String, Column)], id_column: &str) -> String {
    let list: Vec<String> =
        fields.iter().enumerate().map(|(at, (name, _))| format!("{} = ?{}", quote(name), at + 1)).collect();
    format!("UPDATE {} SET {} WHERE {id_column} = ?{}", bucket.table(), list.join(", "), fields.len() + 1)
}

fn insert_sql(bucket: &Bucket, fields: &[(String, Column)]) -> String {
    let names: String = fields.iter().map(|(name, _)| quote(name) + ", ").collect();
    let places: Vec<String> = (1..=fields.len() + 1).map(|at| format!("?{at}")).collect();
    format!("INSERT INTO {} ({names}_key) VALUES ({})", bucket.table(), places.join(", "))
}

fn stored_etag(connection: &Connection, bucket: &Bucket, key: &str) -> Result<Option<String>> {
    let sql = format!("SELECT _etag FROM {} WHERE _key = ?1", bucket.table());
    Ok(connection.prepare_cached(&sql)?.query_row([key], |row| row.get(0)).optional()?)
}

fn check_etag(bucket: &Bucket, key: &str, expected: &Expected, stored: Option<&str>) -> Result<()> {
    let wanted = match (expected, stored) {
        (Expected::Anything, _) | (Expected::Nothing, None) => return Ok(()),
        (Expected::Etag(etag), Some(stored)) if etag == stored => return Ok(()),
        (Expected::Nothing, Some(_)) => "null",
        (Expected::Etag(etag), _) => etag,
    };
    Err(MorayError::EtagConflict {
        bucket: bucket.name.clone(),
        key: key.to_owned(),
        expected: wanted.to_owned(),
        actual: stored.unwrap_or("null").to_owned(),
    })
}

/// Turns a unique violation into Moray's error, which names the attribute and the value.
pub(super) fn unique_error(
    error: rusqlite::Error,
    bucket: &Bucket,
    fields: &[(String, Column)],
) -> MorayError {
    if let rusqlite::Error::SqliteFailure(code, Some(message)) = &error
        && code.code == ErrorCode::ConstraintViolation
        && let Some((_, attribute)) = message.rsplit_once('.')
        && let Some(index) = bucket.index(attribute)
        && index.unique
    {
        let value = fields.iter().find(|(name, _)| name == attribute).map(|(_, value)| column_text(value));
        return MorayError::UniqueAttribute {
            attribute: attribute.to_owned(),
            value: value.unwrap_or_default(),
        };
    }
    error.into()
}

fn column_text(column: &Column) -> String {
    match column {
        Column::Null => "null".to_owned(),
        Column::Integer(number) => number.to_string(),
        Column::Real(number) => number.to_string(),
        Column::Text(text) => text.clone(),
        Column::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// `getObject`. Returns the record, with a null `_count`.
pub(crate) fn get_object(transaction: &Transaction<'_>, bucket: &str, key: &str) -> Result<Value> {
    let bucket = buckets::load(transaction, bucket)?;
    let sql = format!("SELECT {} FROM {} AS t WHERE t._key = ?1", columns(&bucket), bucket.table());
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([key])?;
    match rows.next()? {
        Some(row) => Ok(Record::read(&bucket, row)?.into_wire(&bucket.name, Some(Value::Null))),
        None => Err(not_found(&bucket, key)),
    }
}

/// `delObject`. As in Moray, the condition that there is no object counts as no condition.
pub(crate) fn delete_object(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    expected: &Expected,
) -> Result<()> {
    let bucket = buckets::load(transaction, bucket)?;
    let stored = stored_etag(transaction, &bucket, key)?.ok_or_else(|| not_found(&bucket, key))?;
    if let Expected::Etag(_) = expected {
        check_etag(&bucket, key, expected, Some(&stored))?;
    }
    let sql = format!("DELETE FROM {} WHERE _key = ?1", bucket.table());
    transaction.prepare_cached(&sql)?.execute([key])?;
    Ok(())
}

fn not_found(bucket: &Bucket, key: &str) -> MorayError {
    MorayError::ObjectNotFound { bucket: bucket.name.clone(), key: key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::etag_of;

    #[test]
    fn etags_are_crc_32() {
        assert_eq!(etag_of("123456789"), "CBF43926");
        assert_eq!(etag_of("{}").len(), 8);
    }
}
