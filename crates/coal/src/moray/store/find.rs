// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `findObjects`

use rusqlite::{Transaction, params_from_iter};
use serde_json::Value;

use super::buckets;
use super::row::{Record, columns};
use crate::moray::bucket::{Bucket, quote};
use crate::moray::error::{MorayError, Result};
use crate::moray::filter::{Query, unusable_fields};
use crate::moray::rpc::{FindOptions, Sort};

/// Internal columns by which every bucket can be sorted.
const SORTABLE_FIELDS: [&str; 5] = ["_id", "_key", "_mtime", "_etag", "_txn_snap"];

/// Returns the matching records. `_count` counts the matches of the SQL condition, before the second pass, as in Moray.
pub(crate) fn find_objects(
    transaction: &Transaction<'_>,
    bucket: &str,
    filter: &str,
    options: &FindOptions,
) -> Result<Vec<Value>> {
    let bucket = buckets::load(transaction, bucket)?;
    let query = Query::compile(&bucket, filter);
    if options.require_indexes {
        require_indexes(&bucket, filter)?;
    }
    let query = query?;
    let order = order_by(&bucket, &options.sort)?;
    let count = if options.no_count { None } else { Some(count(transaction, &bucket, &query)?.into()) };
    let sql = format!(
        "SELECT {} FROM {} AS t WHERE {}{order}{}",
        columns(&bucket),
        bucket.table(),
        query.condition,
        options.page_sql()
    );
    let mut statement = transaction.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(&query.parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let record = Record::read(&bucket, row)?;
        if query.matches(&record.subject()) {
            found.push(record.into_wire(&bucket.name, count.clone()));
        }
    }
    Ok(found)
}

/// Fails if the filter names an attribute without a usable index.
pub(super) fn require_indexes(bucket: &Bucket, filter: &str) -> Result<()> {
    match unusable_fields(bucket, filter) {
        None => Ok(()),
        fields => {
            Err(MorayError::NotIndexed { bucket: bucket.name.clone(), filter: filter.to_owned(), fields })
        }
    }
}

fn count(transaction: &Transaction<'_>, bucket: &Bucket, query: &Query) -> Result<i64> {
    let sql = format!("SELECT count(*) FROM {} AS t WHERE {}", bucket.table(), query.condition);
    Ok(transaction.prepare(&sql)?.query_row(params_from_iter(&query.parameters), |row| row.get(0))?)
}

/// Writes the sort order. Only columns may be named. This is stricter than Moray, which pastes the attribute into its SQL.
pub(super) fn order_by(bucket: &Bucket, sort: &[Sort]) -> Result<String> {
    let mut terms = Vec::new();
    for Sort { attribute, descending } in sort {
        if attribute == "_idx" {
            return Err(MorayError::Plain("sorting on \"_idx\" is not allowed".to_owned()));
        }
        if bucket.index(attribute).is_none() && !SORTABLE_FIELDS.contains(&attribute.as_str()) {
            return Err(MorayError::Internal(format!("Invalid SQL: column \"{attribute}\" does not exist")));
        }
        let direction = if *descending { "DESC NULLS FIRST" } else { "ASC NULLS LAST" };
        terms.push(format!("t.{} {direction}", quote(attribute)));
    }
    Ok(if terms.is_empty() { String::new() } else { format!(" ORDER BY {}", terms.join(", ")) })
}
