// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The stored records, valid or not, for tools that read a database beside the running service.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::local::{Content, Directory};
use super::moray::MorayRecords;
use super::{Database, DbError, LocalDatabase, MorayDatabase, OpenError, StoredRecord, blocking};
use crate::config::{self, Config};
use crate::files::DirectoryLock;
use crate::manifest::{Rules, Uuid};
use crate::telemetry::Metrics;

/// How many files are read at a time.
const PAGE: usize = 500;

/// How long a tool waits for a database that is unavailable.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Iterates over all records. A record that exists the whole time is returned once, in one of its versions of that time.
#[derive(Debug)]
pub struct Records(Source);

#[derive(Debug)]
enum Source {
    Moray(MorayRecords),
    /// Files, which a service may be using, and the UUIDs that have not been read yet.
    Local {
        files: Arc<Directory>,
        left: VecDeque<Uuid>,
    },
}

impl Records {
    /// Opens the records of the database that the configuration names, from the first one on. Must be called within the
    /// runtime.
    ///
    /// # Errors
    /// There is no directory of files. Moray is contacted later.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> io::Result<Records> {
        match &config.database {
            config::Database::Moray(moray) => Ok(Records(Source::Moray(MorayRecords::new(moray, metrics)))),
            config::Database::Local => {
                let files = Directory::unlocked(&config.local_base_dir);
                let left = files.uuids()?.into();
                Ok(Records(Source::Local { files: Arc::new(files), left }))
            }
        }
    }

    /// Returns the next records; none after the last. Waits half a minute for a database that is unavailable.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn next_page(&mut self) -> Result<Vec<StoredRecord>, DbError> {
        match &mut self.0 {
            Source::Moray(moray) => {
                let deadline = RetryDeadline::default();
                loop {
                    match moray.next_page().await {
                        Err(error) if deadline.allows(&error) => tokio::time::sleep(PAUSE).await,
                        page => return page,
                    }
                }
            }
            Source::Local { files, left } => loop {
                let page: Vec<Uuid> = left.drain(..left.len().min(PAGE)).collect();
                if page.is_empty() {
                    return Ok(Vec::new());
                }
                let files = Arc::clone(files);
                let read = blocking(move || page.into_iter().map(|uuid| read(&files, uuid)).collect());
                let read: Result<Vec<_>, DbError> = read.await?;
                // A missing record was deleted in the meantime.
                let read: Vec<_> = read?.into_iter().flatten().collect();
                if !read.is_empty() {
                    return Ok(read);
                }
            },
        }
    }

    /// Returns all remaining records.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn rest(&mut self) -> Result<Vec<StoredRecord>, DbError> {
        let mut all = Vec::new();
        loop {
            let mut page = self.next_page().await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.append(&mut page);
        }
    }

    /// Returns the current record of an image.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn get(&self, uuid: Uuid) -> Result<Option<StoredRecord>, DbError> {
        match &self.0 {
            Source::Moray(moray) => moray.get(uuid).await,
            Source::Local { files, .. } => {
                let files = Arc::clone(files);
                blocking(move || read(&files, uuid)).await?
            }
        }
    }

    /// Closes the connections.
    pub async fn close(&self) {
        if let Source::Moray(moray) = &self.0 {
            moray.close().await;
        }
    }
}

/// Waits for a database that is unavailable, up to a limit.
#[derive(Debug)]
struct RetryDeadline(Instant);

impl Default for RetryDeadline {
    fn default() -> RetryDeadline {
        RetryDeadline(Instant::now() + PATIENCE)
    }
}

impl RetryDeadline {
    fn allows(&self, error: &DbError) -> bool {
        matches!(error, DbError::Unavailable(_)) && Instant::now() < self.0
    }
}

impl Database {
    /// Opens the database that the configuration names, for changes by a tool. Files can be used by one process only, so the
    /// service must not run. Moray is waited for, and its bucket is created if missing. Must be called within the runtime.
    ///
    /// # Errors
    /// The files cannot be used, or another process uses them. If Moray does not answer, the calls report it.
    pub async fn open(config: &Config, rules: Rules, metrics: Arc<Metrics>) -> Result<Database, OpenError> {
        match &config.database {
            config::Database::Local => {
                let lock = DirectoryLock::take(&config.local_base_dir)?;
                Ok(Database::Local(LocalDatabase::open(lock, rules, metrics).await?))
            }
            config::Database::Moray(moray) => {
                let database = Database::Moray(MorayDatabase::new(moray, rules, metrics));
                let deadline = RetryDeadline::default();
                while let Err(error) = database.get(Uuid::NIL).await
                    && deadline.allows(&error)
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(database)
            }
        }
    }
}

fn read(files: &Directory, uuid: Uuid) -> Result<Option<StoredRecord>, DbError> {
    let record = match files.read(uuid)? {
        Some(Content::Bytes(bytes)) => {
            serde_json::from_slice(&bytes).map_err(|error| format!("no JSON object: {error}"))
        }
        Some(Content::NoRecord(reason)) => Err(reason),
        None => return Ok(None),
    };
    Ok(Some(StoredRecord { key: uuid.to_string(), record }))
}
