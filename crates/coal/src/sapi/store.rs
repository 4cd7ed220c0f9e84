// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The store: objects in SQLite, as JSON.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Kind, Object};
use crate::rest::{RestError, RestResult};

/// Maximum number of objects of a kind.
const MAX_OBJECTS: u32 = 10_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS object
        (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, uuid TEXT NOT NULL, value TEXT NOT NULL,
         UNIQUE (kind, uuid));
    CREATE TABLE IF NOT EXISTS seed
        (kind TEXT NOT NULL, uuid TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, uuid));
    CREATE TABLE IF NOT EXISTS mode (only INTEGER PRIMARY KEY CHECK (only = 1), value TEXT NOT NULL);
    INSERT OR IGNORE INTO mode VALUES (1, 'full');
";

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store(Arc<Mutex<Connection>>);

/// The tables within one transaction.
#[derive(Debug)]
pub(super) struct Tables<'a>(&'a Connection);

fn failed(error: impl Display) -> RestError {
    tracing::error!(%error, "SAPI's store does not work");
    RestError::internal(error.to_string())
}

impl Store {
    /// Opens the file, which only its owner may read, or a store in memory.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, rusqlite::Error> {
        let connection = match path {
            Some(path) => {
                // The file contains passwords. SQLite gives its other files the same mode, and reports a wrong path.
                let _ = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
                Connection::open(path)?
            }
            None => Connection::open_in_memory()?,
        };
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `work` in one transaction.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tables<'_>) -> RestResult<T> + Send + 'static,
    ) -> RestResult<T> {
        let shared = Arc::clone(&self.0);
        let step = move || {
            let mut connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction().map_err(failed)?;
            let result = work(&Tables(&transaction))?;
            transaction.commit().map_err(failed)?;
            Ok(result)
        };
        tokio::task::spawn_blocking(step).await.map_err(failed)?
    }
}

impl Tables<'_> {
    /// Returns all objects of the kind, the oldest first.
    pub(super) fn list(&self, kind: Kind) -> RestResult<Vec<Object>> {
        let query = "SELECT value FROM object WHERE kind = ?1 ORDER BY seq";
        let mut statement = self.0.prepare_cached(query).map_err(failed)?;
        let texts =
            statement.query_map(params![kind.name()], |row| row.get::<_, String>(0)).map_err(failed)?;
        texts.map(|text| serde_json::from_str(&text.map_err(failed)?).map_err(failed)).collect()
    }

    /// Returns the object, if there is one.
    pub(super) fn find(&self, kind: Kind, uuid: &str) -> RestResult<Option<Object>> {
        self.one("SELECT value FROM object WHERE kind = ?1 AND uuid = ?2", kind, uuid)
    }

    /// Returns the object, or an error with status 404.
    pub(super) fn get(&self, kind: Kind, uuid: &str) -> RestResult<Object> {
        let missing = || RestError::not_found(format!("no such {}: {uuid}", kind.name()));
        self.find(kind, uuid)?.ok_or_else(missing)
    }

    /// Stores the object under its UUID.
    pub(super) fn put(&self, kind: Kind, uuid: &str, object: &Object) -> RestResult<()> {
        let value = serde_json::to_string(object).map_err(failed)?;
        let put = "INSERT INTO object (kind, uuid, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (kind, uuid) DO UPDATE SET value = excluded.value";
        self.0.execute(put, params![kind.name(), uuid, value]).map_err(failed)?;
        let count = "SELECT count(*) FROM object WHERE kind = ?1";
        let count: u32 = self.0.query_row(count, params![kind.name()], |row| row.get(0)).map_err(failed)?;
        if count > MAX_OBJECTS {
            return Err(RestError::conflict(format!("there are too many {}s", kind.name())));
        }
        Ok(())
    }

    /// Removes the object. Returns `false` if there is none.
    pub(super) fn remove(&self, kind: Kind, uuid: &str) -> RestResult<bool> {
        let remove = "DELETE FROM object WHERE kind = ?1 AND uuid = ?2";
        Ok(self.0.execute(remove, params![kind.name(), uuid]).map_err(failed)? == 1)
    }

    /// Returns the object that was last seeded under this UUID.
    pub(super) fn seeded(&self, kind: Kind, uuid: &str) -> RestResult<Option<Object>> {
        self.one("SELECT value FROM seed WHERE kind = ?1 AND uuid = ?2", kind, uuid)
    }

    /// Records the object as seeded.
    pub(super) fn put_seed(&self, kind: Kind, uuid: &str, object: &Object) -> RestResult<()> {
        let value = serde_json::to_string(object).map_err(failed)?;
        let put = "INSERT OR REPLACE INTO seed (kind, uuid, value) VALUES (?1, ?2, ?3)";
        self.0.execute(put, params![kind.name(), uuid, value]).map_err(failed)?;
        Ok(())
    }

    /// Returns the mode, `proto` or `full`.
    pub(super) fn mode(&self) -> RestResult<String> {
        self.0.query_row("SELECT value FROM mode", params![], |row| row.get(0)).map_err(failed)
    }

    /// Sets the mode.
    pub(super) fn set_mode(&self, mode: &str) -> RestResult<()> {
        self.0.execute("UPDATE mode SET value = ?1", params![mode]).map_err(failed)?;
        Ok(())
    }

    fn one(&self, query: &str, kind: Kind, uuid: &str) -> RestResult<Option<Object>> {
        let text: Option<String> = self
            .0
            .query_row(query, params![kind.name(), uuid], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        text.map(|text| serde_json::from_str(&text).map_err(failed)).transpose()
    }
}
