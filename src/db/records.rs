// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The records as they are stored, valid or not, for tools that look at a database beside the service.

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

/// Files read at a time.
const PAGE: usize = 500;

/// How long a tool waits for a database that is away.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Goes over all records. A record that is there all the time comes once, in one of the versions that it had meanwhile.
#[derive(Debug)]
pub struct Records(Source);

#[derive(Debug)]
enum Source {
    Moray(MorayRecords),
    /// Files, which may be in use by a service, and those that have not come yet.
    Local {
        files: Arc<Directory>,
        left: VecDeque<Uuid>,
    },
}

impl Records {
    /// The records of the database that the configuration names, from the first one. To be called within the runtime.
    ///
    /// # Errors
    /// When there is no directory of files. Moray is asked later.
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

    /// The next ones; none after the last. Waits half a minute for a database that is away.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn next_page(&mut self) -> Result<Vec<StoredRecord>, DbError> {
        match &mut self.0 {
            Source::Moray(moray) => {
                let patience = Patience::default();
                loop {
                    match moray.next_page().await {
                        Err(error) if patience.is_for(&error) => tokio::time::sleep(PAUSE).await,
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
                // What is gone was deleted meanwhile.
                let read: Vec<_> = read?.into_iter().flatten().collect();
                if !read.is_empty() {
                    return Ok(read);
                }
            },
        }
    }

    /// All that are left.
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

    /// The record of an image, as it is now.
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

    /// Ends its connections.
    pub async fn close(&self) {
        if let Source::Moray(moray) = &self.0 {
            moray.close().await;
        }
    }
}

/// Waits for a database that is away, but not for ever.
#[derive(Debug)]
struct Patience(Instant);

impl Default for Patience {
    fn default() -> Patience {
        Patience(Instant::now() + PATIENCE)
    }
}

impl Patience {
    fn is_for(&self, error: &DbError) -> bool {
        matches!(error, DbError::Unavailable(_)) && Instant::now() < self.0
    }
}

impl Database {
    /// The database that the configuration names, for changes by a tool. Files are for one process only: the service must
    /// not run. Moray is waited for, and its bucket made if there is none. To be called within the runtime.
    ///
    /// # Errors
    /// When files cannot be used, or another process uses them. Moray that does not come is for the calls to tell.
    pub async fn open(config: &Config, rules: Rules, metrics: Arc<Metrics>) -> Result<Database, OpenError> {
        match &config.database {
            config::Database::Local => {
                let lock = DirectoryLock::take(&config.local_base_dir)?;
                Ok(Database::Local(LocalDatabase::open(lock, rules, metrics).await?))
            }
            config::Database::Moray(moray) => {
                let database = Database::Moray(MorayDatabase::new(moray, rules, metrics));
                let patience = Patience::default();
                while let Err(error) = database.get(Uuid::NIL).await
                    && patience.is_for(&error)
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
