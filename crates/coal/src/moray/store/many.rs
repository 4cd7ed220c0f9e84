// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `updateObjects` and `deleteMany`: writes to many objects by a filter, which indexes must evaluate completely.

use rusqlite::types::Value as Column;
use rusqlite::{Transaction, params_from_iter};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::buckets;
use super::find::{order_by, require_indexes};
use super::now;
use super::objects::unique_error;
use crate::moray::bucket::{Bucket, quote};
use crate::moray::error::{MorayError, Result, UnusableFields};
use crate::moray::filter::Query;
use crate::moray::rpc::FindOptions;

/// Sets columns, but not the stored JSON, of the matching objects. Returns their number and their new etag.
pub(crate) fn update_objects(
    transaction: &Transaction<'_>,
    bucket: &str,
    fields: &Map<String, Value>,
    filter: &str,
    options: &FindOptions,
) -> Result<(usize, String)> {
    if fields.is_empty() {
        return Err(MorayError::FieldUpdate("{}".to_owned()));
    }
    let bucket = buckets::load(transaction, bucket)?;
    require_indexes(&bucket, filter)?;
    let query = Query::compile(&bucket, filter)?;
    let etag = format!("u{}", &Uuid::new_v4().to_string()[..7]);
    let mut columns = changed_columns(&bucket, fields)?;
    columns.push(("_etag".to_owned(), Column::Text(etag.clone())));
    columns.push(("_mtime".to_owned(), Column::Integer(now())));
    let first = query.parameters.len() + 1;
    let list: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, _))| format!("{} = ?{}", quote(name), first + at))
        .collect();
    let sql = format!(
        "UPDATE {} SET {} WHERE _id IN ({})",
        bucket.table(),
        list.join(", "),
        row_set(&bucket, &query, options)?
    );
    let values = query.parameters.iter().chain(columns.iter().map(|(_, value)| value));
    let count = transaction
        .execute(&sql, params_from_iter(values))
        .map_err(|error| unique_error(error, &bucket, &columns))?;
    Ok((count, etag))
}

fn changed_columns(bucket: &Bucket, fields: &Map<String, Value>) -> Result<Vec<(String, Column)>> {
    let mut columns = Vec::new();
    for (name, value) in fields {
        let not_indexed = |unusable| MorayError::NotIndexed {
            bucket: bucket.name.clone(),
            filter: Value::Object(fields.clone()).to_string(),
            fields: unusable,
        };
        let index = bucket.index(name).ok_or_else(|| not_indexed(None))?;
        if bucket.is_reindexing(name) {
            let unusable = UnusableFields { reindexing: vec![name.clone()], ..UnusableFields::default() };
            return Err(not_indexed(Some(unusable)));
        }
        if value.is_null() {
            let kind = index.kind.name.to_owned();
            return Err(MorayError::NotNullable { index: name.clone(), kind });
        }
        columns.push((name.clone(), index.kind.encode(name, value)?));
    }
    Ok(columns)
}

/// Deletes the matching objects and returns their number.
pub(crate) fn delete_many(
    transaction: &Transaction<'_>,
    bucket: &str,
    filter: &str,
    options: &FindOptions,
) -> Result<usize> {
    let bucket = buckets::load(transaction, bucket)?;
    require_indexes(&bucket, filter)?;
    let query = Query::compile(&bucket, filter)?;
    let sql = format!("DELETE FROM {} WHERE _id IN ({})", bucket.table(), row_set(&bucket, &query, options)?);
    Ok(transaction.execute(&sql, params_from_iter(&query.parameters))?)
}

/// Writes the query for the ids of the matching rows. Like Moray, it does no second pass here.
fn row_set(bucket: &Bucket, query: &Query, options: &FindOptions) -> Result<String> {
    Ok(format!(
        "SELECT t._id FROM {} AS t WHERE {}{}{}",
        bucket.table(),
        query.condition,
        order_by(bucket, &options.sort)?,
        options.page_sql()
    ))
}
