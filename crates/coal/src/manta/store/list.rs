// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listings of a directory.

use rusqlite::{Connection, params_from_iter, types::Value};

use super::entry::{COLUMNS, Entry, read};
use crate::manta::error::MantaError;

/// The sort order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::manta) enum Order {
    /// By the bytes of the name, ascending.
    #[default]
    Name,
    /// By the time of the latest change, descending.
    Modified,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::manta) struct Page {
    /// Maximum number of entries.
    pub(in crate::manta) limit: u32,
    /// Sort order.
    pub(in crate::manta) order: Order,
    /// Whether the order is reversed.
    pub(in crate::manta) reverse: bool,
    /// First entry, inclusive: a name, or milliseconds since the epoch.
    pub(in crate::manta) marker: Option<String>,
    /// `Some(true)` for directories only, `Some(false)` for objects only.
    pub(in crate::manta) directories: Option<bool>,
}

/// Returns the number of entries of the directory.
pub(super) fn count(connection: &Connection, directory: &str) -> rusqlite::Result<u64> {
    let mut query = connection.prepare_cached("SELECT COUNT(*) FROM entries WHERE parent = ?")?;
    query.query_row([directory], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Returns entries of the directory with their names.
pub(super) fn list(
    connection: &Connection,
    directory: &str,
    page: &Page,
) -> Result<Vec<(String, Entry)>, MantaError> {
    let column = match page.order {
        Order::Name => "name",
        Order::Modified => "mtime",
    };
    let ascending = (page.order == Order::Name) != page.reverse;
    let (from, direction) = if ascending { (">=", "ASC") } else { ("<=", "DESC") };
    let mut query = format!("SELECT {COLUMNS} FROM entries WHERE parent = ?");
    let mut values = vec![Value::Text(directory.to_owned())];
    if let Some(marker) = &page.marker {
        query.push_str(&format!(" AND {column} {from} ?"));
        values.push(match page.order {
            Order::Name => Value::Text(marker.clone()),
            Order::Modified => Value::Integer(marker.parse().unwrap_or(i64::MAX)),
        });
    }
    if let Some(directories) = page.directories {
        query.push_str(if directories { " AND etag IS NULL" } else { " AND etag IS NOT NULL" });
    }
    query.push_str(&format!(" ORDER BY {column} {direction} LIMIT ?"));
    values.push(Value::Integer(page.limit.into()));
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params_from_iter(values), |row| Ok((row.get(4)?, read(row)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
