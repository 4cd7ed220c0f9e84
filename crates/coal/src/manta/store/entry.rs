// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Entries and their rows.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::manta::error::MantaError;

/// The entry of a path: a directory or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manta) struct Entry {
    /// Identifies this version of the entry; new with every change.
    pub(in crate::manta) revision: String,
    /// Time of the last change, in milliseconds since the epoch.
    pub(in crate::manta) modified_ms: u64,
    /// Headers that are stored unchanged: `m-*` and a few more.
    pub(in crate::manta) headers: Vec<(String, String)>,
    /// The content of an object; `None` for a directory.
    pub(in crate::manta) object: Option<Object>,
}

/// The content of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::manta) struct Object {
    /// Name of the content.
    pub(in crate::manta) etag: String,
    /// Size in bytes.
    pub(in crate::manta) size: u64,
    /// MD5 of the content, in base64.
    pub(in crate::manta) md5: String,
    /// `content-type`
    pub(in crate::manta) content_type: String,
    /// `content-disposition`
    pub(in crate::manta) disposition: Option<String>,
    /// Number of requested copies.
    pub(in crate::manta) copies: u32,
}

impl Entry {
    /// Creates a new directory.
    pub(in crate::manta) fn directory(headers: Vec<(String, String)>) -> Self {
        Self { revision: Uuid::new_v4().to_string(), modified_ms: now(), headers, object: None }
    }

    /// Creates a new object.
    pub(in crate::manta) fn object(object: Object, headers: Vec<(String, String)>) -> Self {
        Self { object: Some(object), ..Self::directory(headers) }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Opens the database, and creates the table if it does not exist.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // A commit survives the end of the process.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS entries (
             key TEXT PRIMARY KEY,
             parent TEXT NOT NULL,
             name TEXT NOT NULL,
             revision TEXT NOT NULL,
             mtime INTEGER NOT NULL,
             etag TEXT,
             object TEXT,
             headers TEXT NOT NULL
         ) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS by_name ON entries (parent, name);
         CREATE INDEX IF NOT EXISTS by_mtime ON entries (parent, mtime);
         CREATE INDEX IF NOT EXISTS by_etag ON entries (etag) WHERE etag IS NOT NULL;",
    )?;
    Ok(connection)
}

/// The columns that [`read`] needs.
pub(super) const COLUMNS: &str = "revision, mtime, headers, object, name";

/// Reads an entry from its row.
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let json = |at| {
        move |error: serde_json::Error| {
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
        }
    };
    let object: Option<String> = row.get(3)?;
    Ok(Entry {
        revision: row.get(0)?,
        modified_ms: row.get::<_, i64>(1)?.unsigned_abs(),
        headers: serde_json::from_str(&row.get::<_, String>(2)?).map_err(json(2))?,
        object: object.map(|text| serde_json::from_str(&text)).transpose().map_err(json(3))?,
    })
}

/// Returns the entry of this key.
pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<Entry>, MantaError> {
    let query = format!("SELECT {COLUMNS} FROM entries WHERE key = ?");
    Ok(connection.prepare_cached(&query)?.query_row([key], read).optional()?)
}

/// Returns whether the parent directory exists. The directories that every account has are not stored as entries.
pub(super) fn has_parent(connection: &Connection, key: &str) -> Result<bool, MantaError> {
    let (parent, _) = split(key);
    if parent.split('/').count() <= 3 {
        return Ok(true);
    }
    Ok(get(connection, parent)?.is_some_and(|parent| parent.object.is_none()))
}

/// Writes the entry.
pub(super) fn put(connection: &Connection, key: &str, entry: &Entry) -> Result<(), MantaError> {
    let (parent, name) = split(key);
    let json = |value: serde_json::Result<String>| value.map_err(std::io::Error::other);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO entries (key, parent, name, revision, mtime, etag, object, headers)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key,
            parent,
            name,
            entry.revision,
            i64::try_from(entry.modified_ms).unwrap_or(i64::MAX),
            entry.object.as_ref().map(|object| &object.etag),
            entry.object.as_ref().map(|object| json(serde_json::to_string(object))).transpose()?,
            json(serde_json::to_string(&entry.headers))?,
        ])?;
    Ok(())
}

/// Splits a key into the key of the directory and the name in it.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}
