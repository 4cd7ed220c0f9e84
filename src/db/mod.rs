// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The database of manifests: the Moray of a datacenter, or files of a standalone server.
//!
//! Callers see one [`Database`] for both. A change reads the record itself, together with its version, and writes it on
//! condition that it is still that version. Reads use [views](crate::manifest::View) of all images, which are kept in
//! memory.

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

/// A valid record, and the version of it that was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record.
    pub image: Image,
    /// The version, for a conditional write.
    pub etag: String,
}

impl Stored {
    /// Returns the view of the record. A valid record always has one; if not, the log says so.
    pub(in crate::db) fn view(&self) -> Option<View> {
        let uuid = self.image.uuid();
        let failed = |error: &serde_json::Error| {
            tracing::error!(%uuid, err.json = %crate::telemetry::err(error), "an image cannot be rendered");
        };
        View::new(&self.image).inspect_err(failed).ok()
    }
}

/// A version of a record that is to be deleted.
#[derive(Debug, Clone)]
pub struct Deletion<'a> {
    /// The image.
    pub uuid: Uuid,
    /// The version, which `etag` names.
    pub etag: &'a str,
    /// The MD5 of this version's manifest in the archive, for [`Database::last_manifest`]; `None` if it has none.
    pub manifest_md5: Option<String>,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<T> {
    /// The value found.
    pub value: T,
    /// How long ago the value was known to be current, if the database is unavailable and nothing newer can be read.
    pub stale: Option<Duration>,
}

impl<T> Found<T> {
    /// Wraps a current value.
    pub(in crate::db) fn current(value: T) -> Found<T> {
        Found { value, stale: None }
    }

    /// Replaces the value by the result of `change`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        Found { value: change(self.value), stale: self.stale }
    }
}

/// A record that exists but cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damaged {
    /// The record's name in the database: a file name, or a key.
    pub name: String,
    /// What is wrong, and what was done about it.
    pub reason: String,
}

/// The state of the database, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The number of images in memory; `None` until all are loaded.
    pub images: Option<usize>,
    /// How long ago the images in memory were known to be complete and current; `None` before the first time. Zero for
    /// files, because no other process writes them.
    pub age: Option<Duration>,
    /// Records that cannot be used, by name.
    pub damaged: Vec<Damaged>,
}

/// Why the database did not carry out an operation.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database, or the connection to it, is down. Nothing was changed.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// It is unknown whether a write was made, because the answer to it was lost.
    #[error("the outcome of a write is unknown")]
    OutcomeUnknown(#[source] Cause),
    /// Another request changed, created or deleted the record since it was read. Nothing was changed.
    #[error("the record has changed")]
    Conflict,
    /// Another record has the same `urn`. Nothing was changed.
    #[error("another record has the same value of a unique attribute")]
    NotUnique,
    /// The database cannot store a value of the record. Nothing was changed.
    #[error("the database cannot store a value")]
    Unstorable(#[source] Cause),
    /// A list cannot begin at the marker.
    #[error(transparent)]
    NoSuchMarker(#[from] NoSuchMarker),
    /// The disk is full. Nothing was changed.
    #[error("no space left for manifests")]
    NoSpace(#[source] io::Error),
    /// Any other failure of the database.
    #[error("the database request failed")]
    Failed(#[source] Cause),
}

/// The error of a backend.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The database of manifests.
#[derive(Debug)]
pub enum Database {
    /// In Moray, with a replica in memory.
    Moray(MorayDatabase),
    /// In files.
    Local(LocalDatabase),
}

/// Calls the method of the same name on the backend in use.
macro_rules! either {
    ($database:ident . $method:ident ( $($argument:expr),* )) => {
        match $database {
            Database::Moray(database) => database.$method($($argument),*).await,
            Database::Local(database) => database.$method($($argument),*).await,
        }
    };
}

impl Database {
    /// Returns the current record of `uuid`, for a change. As in 4.13.1, an invalid record does not exist for clients;
    /// it is logged.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        either!(self.get(uuid))
    }

    /// Returns the record of `uuid` from memory, without asking Moray, for a change that may begin with an outdated
    /// record; `None` if no record is in memory. If the version is outdated, the write fails with a `Conflict`. Before
    /// a request is refused the current record has to be read.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn known(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        either!(self.known(uuid))
    }

    /// Returns the image with this UUID, for a read. It is at most a second behind the writes of other processes, and
    /// never behind those of this process.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn view(&self, uuid: Uuid) -> Result<Found<Option<Arc<View>>>, DbError> {
        self.view_if(uuid, |_| true).await
    }

    /// Returns the image only if `is_shown` holds for it. An image that is not shown is looked up as if it were unknown
    /// here, so that neither the answer nor its time reveals whether the image exists.
    ///
    /// # Errors
    /// The errors of [`Database::view`].
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

    /// Returns the answer to a ListImages query, as current as [`Database::view`]. If the query has no limit, Moray's
    /// answer has at most 1000 images, and the local database's answer has all.
    ///
    /// # Errors
    /// `NoSuchMarker`, `Unavailable`, `Failed`.
    pub async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<Found<ListAnswer>, DbError> {
        either!(self.list(query, form))
    }

    /// Stores a new record.
    ///
    /// # Errors
    /// `Conflict` if the UUID is taken; the other errors of a write.
    pub async fn insert(&self, image: &Image) -> Result<(), DbError> {
        either!(self.insert(image))
    }

    /// Stores a record in the place of the version `replaced` (or of none), on condition that the given origins still
    /// are the versions that were read. The write makes these origins new versions: a request that has read one of them
    /// before, to delete it or to give it another UUID or origin, then gets a `Conflict`.
    ///
    /// # Errors
    /// `Conflict` if one of them is another version by then; the other errors of a write.
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
    /// `Conflict` if the record is another version by then; the other errors of a write.
    pub async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        either!(self.replace(image, etag))
    }

    /// Deletes a version of a record.
    ///
    /// # Errors
    /// `Conflict` if the record is another version by then, or deleted; the other errors of a write.
    pub async fn delete(&self, old: &Deletion<'_>) -> Result<(), DbError> {
        either!(self.delete(old))
    }

    /// Returns the MD5 of the manifest with which an image was last deleted, by whichever process. `None` if that is
    /// not known: for an image that was never deleted, after a month, after a deletion by 4.13.1, and with a local
    /// database, which only one process changes.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn last_manifest(&self, uuid: Uuid) -> Result<Option<String>, DbError> {
        match self {
            Database::Moray(database) => database.last_manifest(uuid).await,
            Database::Local(_) => Ok(None),
        }
    }

    /// Stores `image`, whose UUID is new, in the place of the version `old`. The `origins` are as in
    /// [`Database::put_with_origins`]; they are empty if the image keeps its origin.
    ///
    /// # Errors
    /// `Conflict` if the new UUID is taken, or if the old record or an origin is another version by then; the other
    /// errors of a write.
    pub async fn rename(&self, image: &Image, old: &Deletion<'_>, origins: &[Stored]) -> Result<(), DbError> {
        either!(self.rename(image, old, origins))
    }

    /// Returns the UUIDs of the images whose origin is `uuid`. With Moray: the current ones, valid or not, at most a
    /// thousand.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        either!(self.dependents(uuid))
    }

    /// Returns the dependents of this version of an image from memory, for a deletion; `None` if memory may be
    /// incomplete. An image that names it as its origin afterwards makes it another version: see
    /// [`Database::put_with_origins`].
    ///
    /// # Errors
    /// The process is being stopped.
    pub async fn known_dependents(&self, stored: &Stored) -> Result<Option<Vec<Uuid>>, DbError> {
        either!(self.known_dependents(stored))
    }

    /// Returns all images for which `wanted` holds, for repeated background work. With Moray it waits until all images
    /// are in memory.
    ///
    /// # Errors
    /// The process is being stopped.
    pub async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        either!(self.filtered(wanted))
    }

    /// Checks that the database works now. With Moray this includes the database behind it.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn probe(&self) -> Result<(), DbError> {
        either!(self.probe())
    }

    /// Returns the state of the database.
    pub fn status(&self) -> Status {
        match self {
            Database::Moray(database) => database.status(),
            Database::Local(database) => database.status(),
        }
    }

    /// Returns the number of open connections to Moray.
    pub fn connections(&self) -> usize {
        match self {
            Database::Moray(database) => database.connections(),
            Database::Local(_) => 0,
        }
    }

    /// Closes the connections, and waits up to `limit` for calls in progress.
    pub async fn close(&self, limit: Duration) {
        match self {
            Database::Moray(database) => database.close(limit).await,
            Database::Local(_) => {}
        }
    }
}

/// How many images a list may have that is rendered without waiting for longer ones.
const SHORT_LIST: u64 = 100;

/// Renders the answer to a list of at most `limit` images on a blocking thread. Only a few run at a time, because nothing else
/// bounds their memory. Short lists have turns of their own, so that they do not wait for long ones.
async fn rendered<T: Send + 'static>(
    limit: Option<u64>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DbError> {
    static LONG: Semaphore = Semaphore::const_new(4);
    static SHORT: Semaphore = Semaphore::const_new(4);
    let turns = if limit.is_some_and(|limit| limit <= SHORT_LIST) { &SHORT } else { &LONG };
    let permit = turns.acquire().await.map_err(|closed| DbError::Failed(closed.into()))?;
    blocking(move || {
        // The permit moves into the work, which goes on even if its caller is cancelled.
        let _permit = permit;
        work()
    })
    .await
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DbError> {
    // This fails only when the process is being stopped.
    tokio::task::spawn_blocking(work).await.map_err(|stopped| DbError::Failed(stopped.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[tokio::test]
    async fn a_short_list_does_not_wait_for_long_ones() {
        let barrier = Arc::new(Barrier::new(5));
        let wait = |barrier: &Arc<Barrier>| {
            let barrier = Arc::clone(barrier);
            move || {
                barrier.wait();
            }
        };
        let long: Vec<_> = (0..4).map(|_| tokio::spawn(rendered(None, wait(&barrier)))).collect();
        let short = tokio::time::timeout(Duration::from_secs(20), rendered(Some(SHORT_LIST), || 1)).await;
        blocking(wait(&barrier)).await.unwrap();
        for list in long {
            list.await.unwrap().unwrap();
        }
        assert_eq!(short.unwrap().unwrap(), 1);
    }
}
