// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The store: workflows and jobs in SQLite, as JSON.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use thiserror::Error;

/// Maximum number of jobs. Beyond it, the oldest jobs that have ended are removed.
const MAX_JOBS: u32 = 10_000;
/// Maximum number of progress records of a job.
const MAX_INFO: u32 = 1_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS workflow (uuid TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS job
        (seq INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT UNIQUE NOT NULL, execution TEXT NOT NULL, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS info (seq INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, value TEXT NOT NULL);
";

/// A workflow or a job.
pub(super) type Object = Map<String, Value>;

/// Why the store failed.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a thread ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
    #[error("no HTTP client: {0}")]
    Client(String),
    #[error("there are too many jobs")]
    Full,
}

/// Whether a new object was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Yes,
    /// The name or UUID is in use.
    Exists,
}

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens the file, or a store in memory.
    pub(super) fn open(path: Option<&PathBuf>) -> Result<Self, StoreError> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner)))
            .await?
    }

    /// Returns all workflows, sorted by UUID.
    pub(super) async fn workflows(&self) -> Result<Vec<Object>, StoreError> {
        self.with(|db| rows(db, "SELECT value FROM workflow ORDER BY uuid", params![])).await
    }

    /// Returns the workflow with this UUID.
    pub(super) async fn workflow(&self, uuid: &str) -> Result<Option<Object>, StoreError> {
        let uuid = uuid.to_owned();
        self.with(move |db| one(db, "SELECT value FROM workflow WHERE uuid = ?1", &uuid)).await
    }

    /// Adds a workflow, whose `uuid` and `name` must be new.
    pub(super) async fn add_workflow(&self, workflow: Object) -> Result<Added, StoreError> {
        self.with(move |db| {
            let added = db.execute(
                "INSERT OR IGNORE INTO workflow (uuid, name, value) VALUES (?1, ?2, ?3)",
                params![text(&workflow, "uuid"), text(&workflow, "name"), serde_json::to_string(&workflow)?],
            )?;
            Ok(if added == 1 { Added::Yes } else { Added::Exists })
        })
        .await
    }

    /// Sets these members of a workflow. Returns `None` if there is no such workflow.
    pub(super) async fn merge_workflow(
        &self,
        uuid: &str,
        members: Object,
    ) -> Result<Option<Object>, StoreError> {
        let uuid = uuid.to_owned();
        self.with(move |db| {
            let found = one(db, "SELECT value FROM workflow WHERE uuid = ?1", &uuid)?;
            let Some(mut workflow) = found else { return Ok(None) };
            workflow.extend(members);
            workflow.insert("uuid".to_owned(), uuid.clone().into());
            db.execute(
                "UPDATE workflow SET name = ?2, value = ?3 WHERE uuid = ?1",
                params![uuid, text(&workflow, "name"), serde_json::to_string(&workflow)?],
            )?;
            Ok(Some(workflow))
        })
        .await
    }

    /// Removes a workflow. Returns `false` if there is none.
    pub(super) async fn remove_workflow(&self, uuid: &str) -> Result<bool, StoreError> {
        let uuid = uuid.to_owned();
        self.with(move |db| Ok(db.execute("DELETE FROM workflow WHERE uuid = ?1", params![uuid])? == 1)).await
    }

    /// Returns all jobs, the newest first.
    pub(super) async fn jobs(&self) -> Result<Vec<Object>, StoreError> {
        self.with(|db| rows(db, "SELECT value FROM job ORDER BY seq DESC", params![])).await
    }

    /// Returns the jobs in this state, the oldest first.
    pub(super) async fn jobs_in(&self, execution: &'static str) -> Result<Vec<Object>, StoreError> {
        let query = "SELECT value FROM job WHERE execution = ?1 ORDER BY seq";
        self.with(move |db| rows(db, query, params![execution])).await
    }

    /// Returns the job with this UUID.
    pub(super) async fn job(&self, uuid: &str) -> Result<Option<Object>, StoreError> {
        let uuid = uuid.to_owned();
        self.with(move |db| one(db, "SELECT value FROM job WHERE uuid = ?1", &uuid)).await
    }

    /// Adds a job, unless a job that has not ended `excludes` it; then returns the reason.
    pub(super) async fn add_job<R: Send + 'static>(
        &self,
        job: Object,
        excludes: impl Fn(&Object) -> Option<R> + Send + 'static,
    ) -> Result<Result<Added, R>, StoreError> {
        self.with(move |db| {
            let live = "SELECT value FROM job WHERE execution IN ('queued', 'running', 'waiting')";
            if let Some(reason) = rows(db, live, params![])?.iter().find_map(&excludes) {
                return Ok(Err(reason));
            }
            let over = "DELETE FROM job WHERE seq IN (SELECT seq FROM job WHERE execution NOT IN \
                 ('queued', 'running', 'waiting') ORDER BY seq LIMIT max(0, (SELECT count(*) FROM job) - ?1))";
            db.execute(over, params![MAX_JOBS - 1])?;
            let count: u32 = db.query_row("SELECT count(*) FROM job", params![], |row| row.get(0))?;
            if count >= MAX_JOBS {
                return Err(StoreError::Full);
            }
            let added = db.execute(
                "INSERT OR IGNORE INTO job (uuid, execution, value) VALUES (?1, ?2, ?3)",
                params![text(&job, "uuid"), text(&job, "execution"), serde_json::to_string(&job)?],
            )?;
            Ok(Ok(if added == 1 { Added::Yes } else { Added::Exists }))
        })
        .await
    }

    /// Changes a job in one transaction. Returns the result of `change`, or `None` if there is no such job.
    pub(super) async fn change_job<T: Send + 'static>(
        &self,
        uuid: &str,
        change: impl FnOnce(&mut Object) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let uuid = uuid.to_owned();
        self.with(move |db| {
            let Some(mut job) = one(db, "SELECT value FROM job WHERE uuid = ?1", &uuid)? else {
                return Ok(None);
            };
            let outcome = change(&mut job);
            db.execute(
                "UPDATE job SET execution = ?2, value = ?3 WHERE uuid = ?1",
                params![uuid, text(&job, "execution"), serde_json::to_string(&job)?],
            )?;
            Ok(Some(outcome))
        })
        .await
    }

    /// Adds a progress record. If there are too many, the oldest is removed.
    pub(super) async fn add_info(&self, job: &str, record: Value) -> Result<(), StoreError> {
        let job = job.to_owned();
        self.with(move |db| {
            db.execute("INSERT INTO info (job, value) VALUES (?1, ?2)", params![job, record.to_string()])?;
            db.execute(
                "DELETE FROM info WHERE job = ?1 AND seq <= \
                 (SELECT seq FROM info WHERE job = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                params![job, MAX_INFO],
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the progress records of a job.
    pub(super) async fn info(&self, job: &str) -> Result<Vec<Object>, StoreError> {
        let job = job.to_owned();
        self.with(move |db| rows(db, "SELECT value FROM info WHERE job = ?1 ORDER BY seq", params![job]))
            .await
    }
}

/// Returns a member as text; empty if it is not a text.
pub(super) fn text<'a>(object: &'a Object, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn rows(db: &Connection, query: &str, arguments: impl rusqlite::Params) -> Result<Vec<Object>, StoreError> {
    let mut statement = db.prepare_cached(query)?;
    let texts = statement.query_map(arguments, |row| row.get::<_, String>(0))?;
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

fn one(db: &Connection, query: &str, uuid: &str) -> Result<Option<Object>, StoreError> {
    let mut statement = db.prepare_cached(query)?;
    let text: Option<String> = statement.query_row(params![uuid], |row| row.get(0)).optional()?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}
