// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The store: a table of entries in SQLite, and a file for the content of each object.
//!
//! As in Manta, names and contents are separate. Content is first written completely to a file named by the object's etag. Then
//! one transaction checks the entry, its directory and the caller's expectation, and replaces the old entry by the new one.

mod content;
mod entry;
mod list;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

pub(super) use content::{Complete, Content};
pub(super) use entry::{Entry, Object};
pub(super) use list::{Order, Page};

use super::error::MantaError;

/// The entries and their content. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Store {
    connection: Arc<Mutex<Connection>>,
    objects: PathBuf,
}

/// The entry that a change expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any entry or none.
    Anything,
    /// The entry with this revision; `None` for no entry.
    Revision(Option<String>),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Conflict {
    /// The stored entry is not the expected one.
    #[error("another entry is there")]
    Changed,
    /// The parent directory does not exist.
    #[error("the directory above is not there")]
    NoParent,
    /// An object would replace a directory.
    #[error("a directory is there")]
    Directory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
}

/// The outcome of a change.
pub(super) type Change = Result<(), Conflict>;

impl Store {
    /// Opens the store in `directory`, which is created if it does not exist. Removes content that no entry names. Blocks.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let objects = directory.join("objects");
        std::fs::create_dir_all(&objects)?;
        let connection = entry::open(&directory.join("entries.sqlite")).map_err(io::Error::other)?;
        let store = Self { connection: Arc::new(Mutex::new(connection)), objects };
        store.sweep()?;
        Ok(store)
    }

    /// Creates a new, empty content.
    pub(super) async fn new_content(&self) -> io::Result<Content> {
        let objects = self.objects.clone();
        blocking(move || Content::create(&objects)).await
    }

    /// Returns the entry of this key.
    pub(super) async fn get(&self, key: String) -> Result<Option<Entry>, MantaError> {
        self.run(move |connection, _| entry::get(connection, &key)).await
    }

    /// Returns the entry of this key and, for an object, its content. The two belong together, even if the object is replaced
    /// meanwhile.
    pub(super) async fn open_entry(&self, key: String) -> Result<Option<(Entry, Option<File>)>, MantaError> {
        self.run(move |connection, objects| {
            let Some(entry) = entry::get(connection, &key)? else { return Ok(None) };
            let file =
                entry.object.as_ref().map(|object| File::open(objects.join(&object.etag))).transpose()?;
            Ok(Some((entry, file)))
        })
        .await
    }

    /// Replaces an entry, with new content if given. Content that is no longer named is removed; if the change fails, the new
    /// content is removed.
    pub(super) async fn put(
        &self,
        key: String,
        new: Entry,
        content: Option<Complete>,
        expected: Expected,
    ) -> Result<Change, MantaError> {
        self.change(key, content, move |transaction, key, old| {
            if !expected.is_met_by(old) {
                return Ok(Err(Conflict::Changed));
            }
            if !entry::has_parent(transaction, key)? {
                return Ok(Err(Conflict::NoParent));
            }
            if new.object.is_some() && old.is_some_and(|old| old.object.is_none()) {
                return Ok(Err(Conflict::Directory));
            }
            entry::put(transaction, key, &new)?;
            Ok(Ok(new.object.map(|object| object.etag)))
        })
        .await
    }

    /// Removes an entry, if it exists, and its content.
    pub(super) async fn delete(&self, key: String, expected: Expected) -> Result<Change, MantaError> {
        self.change(key, None, move |transaction, key, old| {
            if !expected.is_met_by(old) {
                return Ok(Err(Conflict::Changed));
            }
            if list::count(transaction, key)? > 0 {
                return Ok(Err(Conflict::NotEmpty));
            }
            transaction.execute("DELETE FROM entries WHERE key = ?", [key])?;
            Ok(Ok(None))
        })
        .await
    }

    /// Makes entries whose keys end with `end` look as if they had been written earlier by `by`.
    pub(super) async fn age(&self, end: String, by: Duration) -> io::Result<()> {
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let aged = self.run(move |connection, _| {
            let update = "UPDATE entries SET mtime = max(0, mtime - ?) WHERE substr(key, -length(?)) = ?";
            Ok(connection.execute(update, params![milliseconds, end, end])?)
        });
        aged.await.map(drop).map_err(io::Error::other)
    }

    /// Returns the number of entries of the directory.
    pub(super) async fn count(&self, directory: String) -> Result<u64, MantaError> {
        self.run(move |connection, _| Ok(list::count(connection, &directory)?)).await
    }

    /// Returns entries of the directory with their names, and the number of all its entries.
    pub(super) async fn list(
        &self,
        directory: String,
        page: Page,
    ) -> Result<(Vec<(String, Entry)>, u64), MantaError> {
        self.run(move |connection, _| {
            let transaction = connection.transaction()?;
            Ok((list::list(&transaction, &directory, &page)?, list::count(&transaction, &directory)?))
        })
        .await
    }

    /// Runs a change that returns the key's new content, and removes the old content. A change that has begun is finished even if
    /// the caller is dropped, so the new content is kept here.
    async fn change(
        &self,
        key: String,
        content: Option<Complete>,
        work: impl FnOnce(
            &Transaction<'_>,
            &str,
            Option<&Entry>,
        ) -> Result<Result<Option<String>, Conflict>, MantaError>
        + Send
        + 'static,
    ) -> Result<Change, MantaError> {
        self.run(move |connection, objects| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old = entry::get(&transaction, &key)?;
            let etag = match work(&transaction, &key, old.as_ref())? {
                Ok(etag) => etag,
                Err(conflict) => return Ok(Err(conflict)),
            };
            transaction.commit()?;
            if let Some(content) = content {
                content.keep()?;
            }
            if let Some(object) =
                old.and_then(|old| old.object).filter(|old| Some(&old.etag) != etag.as_ref())
            {
                std::fs::remove_file(objects.join(object.etag))?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Runs `work` on a blocking thread, one job at a time.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &Path) -> Result<T, MantaError> + Send + 'static,
    ) -> Result<T, MantaError> {
        let store = self.clone();
        let run = move || {
            let mut connection = store.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection, &store.objects)
        };
        tokio::task::spawn_blocking(run).await.map_err(io::Error::other)?
    }

    /// Removes content that no entry names: uploads that were incomplete when the server ended.
    fn sweep(&self) -> io::Result<()> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        for file in std::fs::read_dir(&self.objects)? {
            let file = file?;
            let name = file.file_name();
            let named = connection
                .query_row(
                    "SELECT 1 FROM entries WHERE etag = ?",
                    params![name.to_string_lossy()],
                    |_| Ok(()),
                )
                .optional()
                .map_err(io::Error::other)?;
            if named.is_none() {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }
}

impl Expected {
    fn is_met_by(&self, entry: Option<&Entry>) -> bool {
        match self {
            Self::Anything => true,
            Self::Revision(revision) => revision.as_deref() == entry.map(|entry| entry.revision.as_str()),
        }
    }
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
