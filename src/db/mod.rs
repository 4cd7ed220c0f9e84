// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where manifests live: in the Moray of a datacenter, or in files of a standalone server.
//!
//! Both are one [`Database`] to whoever uses it. A change reads the record itself, with the version that was read, and
//! writes it on condition that it is still that version. Reads go over [views](crate::manifest::View) of all images that
//! are kept in memory.

mod index;
mod local;
mod moray;
mod records;
mod stored_record;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, Image, Uuid, View};

pub use self::index::{ListAnswer, NoSuchMarker};
pub use self::local::{LocalDatabase, OpenError};
pub use self::moray::MorayDatabase;
pub use self::records::Records;
pub use self::stored_record::StoredRecord;

/// A valid record and the version of it that was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record.
    pub image: Image,
    /// Names this version to a conditional write.
    pub etag: String,
}

impl Stored {
    /// The view of the record. There always is one: the log says so if there is not.
    pub(in crate::db) fn view(&self) -> Option<View> {
        let uuid = self.image.uuid();
        let failed = |error: &serde_json::Error| {
            tracing::error!(%uuid, err.json = %crate::telemetry::err(error), "an image cannot be rendered");
        };
        View::new(&self.image).inspect_err(failed).ok()
    }
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<T> {
    /// It.
    pub value: T,
    /// How long ago this was known to be current, where the database is away and so nothing newer is to be had.
    pub stale: Option<Duration>,
}

impl<T> Found<T> {
    /// What is current.
    pub(in crate::db) fn current(value: T) -> Found<T> {
        Found { value, stale: None }
    }

    /// The same with something else in the place of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        Found { value: change(self.value), stale: self.stale }
    }
}

/// A record that is there and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damaged {
    /// Its name in the database: a file name, or a key.
    pub name: String,
    /// What is wrong, and what was done about it.
    pub reason: String,
}

/// How the database is, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Images in memory; `None` before all of them are.
    pub images: Option<usize>,
    /// How long ago these were known to be all, and current; `None` before the first time. Zero for files, which nobody
    /// else writes.
    pub age: Option<Duration>,
    /// Records that cannot be used, by name.
    pub damaged: Vec<Damaged>,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database, or the way to it, is down. Nothing was changed.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// A write may have been made or not: the answer to it was lost.
    #[error("the outcome of a write is unknown")]
    OutcomeUnknown(#[source] Cause),
    /// Somebody else changed, made or deleted the record since it was read. Nothing was changed.
    #[error("the record has changed")]
    Conflict,
    /// Another record has the same `urn`. Nothing was changed.
    #[error("another record has the same value of a unique attribute")]
    NotUnique,
    /// The database cannot store a value of the record. Nothing was changed.
    #[error("the database cannot store a value")]
    Unstorable(#[source] Cause),
    /// A list cannot begin where it was asked to.
    #[error(transparent)]
    NoSuchMarker(#[from] NoSuchMarker),
    /// The disk is full. Nothing was changed.
    #[error("no space left for manifests")]
    NoSpace(#[source] io::Error),
    /// The database refused.
    #[error("the database request failed")]
    Failed(#[source] Cause),
}

/// What a backend said.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The manifests.
#[derive(Debug)]
pub enum Database {
    /// In Moray, with a replica in memory.
    Moray(MorayDatabase),
    /// In files.
    Local(LocalDatabase),
}

/// Calls the method of the same name of whichever database it is.
macro_rules! either {
    ($database:ident . $method:ident ( $($argument:expr),* )) => {
        match $database {
            Database::Moray(database) => database.$method($($argument),*).await,
            Database::Local(database) => database.$method($($argument),*).await,
        }
    };
}

impl Database {
    /// The record of `uuid` as it is now, for a change. One that is not valid does not exist for clients, as in 4.13.1,
    /// and is logged.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        either!(self.get(uuid))
    }

    /// The record of `uuid` for a change that begins with what is known, without asking Moray; `None` if nothing is. If it is
    /// another version by now, a write meets a `Conflict`. A refusal needs the record as it is now.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn known(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        either!(self.known(uuid))
    }

    /// The image with this UUID, for a read. It is at most a second behind what other processes write, and never behind
    /// what this one has written.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn view(&self, uuid: Uuid) -> Result<Found<Option<Arc<View>>>, DbError> {
        self.view_if(uuid, |_| true).await
    }

    /// The same for somebody to whom only some images are shown. One that is not is looked for as if it were not known
    /// here: neither the answer nor its time tells whether it exists.
    ///
    /// # Errors
    /// As [`Database::view`].
    pub async fn view_if(
        &self,
        uuid: Uuid,
        is_shown: impl Fn(&View) -> bool,
    ) -> Result<Found<Option<Arc<View>>>, DbError> {
        let mut found = match self {
            Database::Moray(database) => database.view(uuid, &is_shown).await?,
            Database::Local(database) => database.view(uuid).await?,
        };
        found.value = found.value.filter(|view| is_shown(view));
        Ok(found)
    }

    /// The answer to a ListImages query, as current as [`Database::view`]. Without a limit in the query Moray answers
    /// at most 1000 images, the local database all.
    ///
    /// # Errors
    /// `NoSuchMarker`, `Unavailable`, `Failed`.
    pub async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<Found<ListAnswer>, DbError> {
        either!(self.list(query, form))
    }

    /// Stores a new record.
    ///
    /// # Errors
    /// `Conflict` when the UUID is taken; the others of a write.
    pub async fn insert(&self, image: &Image) -> Result<(), DbError> {
        either!(self.insert(image))
    }

    /// Stores a record in the place of the version `replaced`, or of none, if its origin, and those above it that are given,
    /// still are the versions that were read. Whoever has read one of these before, to delete it or to give it another UUID
    /// or origin, gets a `Conflict` from then on.
    ///
    /// # Errors
    /// `Conflict` when one of them is another version by now; the others of a write.
    pub async fn put_with_origins(
        &self,
        image: &Image,
        replaced: Option<&str>,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        either!(self.put_with_origins(image, replaced, origins))
    }

    /// Stores a changed record in the place of the version that `etag` names.
    ///
    /// # Errors
    /// `Conflict` when it is another version by now; the others of a write.
    pub async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        either!(self.replace(image, etag))
    }

    /// Deletes the version of the record that `etag` names.
    ///
    /// # Errors
    /// `Conflict` when it is another version by now, or gone; the others of a write.
    pub async fn delete(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        either!(self.delete(uuid, etag))
    }

    /// Stores `image`, whose UUID is new, in the place of the version of `old` that `etag` names. The `origins` are those of
    /// [`Database::put_with_origins`]; none where the image keeps its origin.
    ///
    /// # Errors
    /// `Conflict` when the new UUID is taken, or the old record or an origin is another version by now; the others of a
    /// write.
    pub async fn rename(
        &self,
        image: &Image,
        old: Uuid,
        etag: &str,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        either!(self.rename(image, old, etag, origins))
    }

    /// UUIDs of the images whose origin is `uuid`. With Moray: as it has them now, valid or not, a thousand at most.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        either!(self.dependents(uuid))
    }

    /// The same for a version of an image that is to be deleted, without asking anybody; `None` where that is not possible.
    /// One that comes meanwhile makes the image another version: see [`Database::put_with_origins`].
    ///
    /// # Errors
    /// When the process is being stopped.
    pub async fn known_dependents(&self, stored: &Stored) -> Result<Option<Vec<Uuid>>, DbError> {
        either!(self.known_dependents(stored))
    }

    /// All images of which `wanted` holds, for work that is repeated. With Moray it waits until all are in memory.
    ///
    /// # Errors
    /// When the process is being stopped.
    pub async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        either!(self.filtered(wanted))
    }

    /// Asks whether it works now, Moray with its own database behind it.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn probe(&self) -> Result<(), DbError> {
        either!(self.probe())
    }

    /// How it is.
    pub fn status(&self) -> Status {
        match self {
            Database::Moray(database) => database.status(),
            Database::Local(database) => database.status(),
        }
    }

    /// Open connections to Moray.
    pub fn connections(&self) -> usize {
        match self {
            Database::Moray(database) => database.connections(),
            Database::Local(_) => 0,
        }
    }

    /// Ends its connections, waiting up to `limit` for calls under way.
    pub async fn close(&self, limit: Duration) {
        match self {
            Database::Moray(database) => database.close(limit).await,
            Database::Local(_) => {}
        }
    }
}

/// Renders the answer to a list on a blocking thread, a few at a time: nobody counts the memory of an answer before there is one.
async fn rendered<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DbError> {
    static RENDERING: Semaphore = Semaphore::const_new(4);
    let permit = RENDERING.acquire().await.map_err(|closed| DbError::Failed(closed.into()))?;
    blocking(move || {
        // The work goes on when its caller does not.
        let _permit = permit;
        work()
    })
    .await
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DbError> {
    // It fails only when the process is being stopped.
    tokio::task::spawn_blocking(work).await.map_err(|stopped| DbError::Failed(stopped.into()))
}
