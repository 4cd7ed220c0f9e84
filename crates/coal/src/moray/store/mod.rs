// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Storage of buckets in SQLite, in a file or in memory.
//!
//! Every bucket is a table with one typed column per index. All work runs on blocking threads: there is one writer, and for a
//! file there are also a few readers.

mod batch;
mod buckets;
mod find;
mod lane;
mod many;
mod objects;
mod reindex;
mod row;
mod sql;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub(crate) use batch::{BatchItem, BatchOperation, batch};
pub(crate) use buckets::{create_bucket, delete_bucket, get_bucket, list_buckets, update_bucket};
pub(crate) use find::find_objects;
use lane::Lane;
pub(crate) use many::{delete_many, update_objects};
pub(crate) use objects::{Expected, delete_object, get_object, put_object};
pub(crate) use reindex::reindex_objects;
pub(crate) use sql::sql;

use super::error::{MorayError, Result};
use super::filter::register_like;

/// Number of readers of a file, besides its writer.
const READERS: usize = 3;

/// Where a store keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In memory; the data are lost when the server ends.
    Memory,
    /// In a file, which is created if it does not exist.
    File(PathBuf),
}

/// The database and its connections.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: Lane,
    readers: Lane,
}

impl Store {
    /// Opens the database and creates the table of definitions. Blocks.
    pub(crate) fn open(location: &Location) -> Result<Self> {
        let store = match location {
            Location::Memory => {
                let lane = Lane::new(vec![configure(Connection::open_in_memory()?)?]);
                Self { writer: lane.clone(), readers: lane }
            }
            Location::File(path) => {
                let writer = open_file(path)?;
                let readers = (0..READERS).map(|_| open_file(path)).collect::<Result<Vec<_>>>()?;
                Self { writer: Lane::new(vec![writer]), readers: Lane::new(readers) }
            }
        };
        Ok(store)
    }

    /// Runs `work` in a transaction that sees one state of the database and changes nothing.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers
            .run(|connection| {
                let transaction = connection.transaction()?;
                work(&transaction)
            })
            .await
    }

    /// Runs `work` in a transaction. It is committed if `work` succeeds, and otherwise rolled back.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer
            .run(|connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let outcome = work(&transaction)?;
                transaction.commit()?;
                Ok(outcome)
            })
            .await
    }
}

fn open_file(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    // Readers do not wait for the writer, and a commit survives the end of the process.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    configure(connection)
}

fn configure(connection: Connection) -> Result<Connection> {
    connection.busy_timeout(Duration::from_secs(10))?;
    register_like(&connection)?;
    sql::register(&connection)?;
    buckets::create_table(&connection)?;
    Ok(connection)
}

/// Returns the current time in milliseconds since the epoch.
pub(crate) fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the error for a task that panicked or was cancelled.
fn lost(error: &dyn std::error::Error) -> MorayError {
    MorayError::Internal(format!("database task: {error}"))
}
