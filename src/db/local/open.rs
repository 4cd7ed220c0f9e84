// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::directory::{Content, Directory};
use super::restore::restored;
use super::{LocalDatabase, LocalDatabaseInner};
use crate::db::index::{Index, Prepared};
use crate::db::{Damaged, blocking};
use crate::files::{DirectoryLock, LockError};
use crate::manifest::{Record, Rules, Uuid, View, view};
use crate::platform::processors;
use crate::telemetry::{Metrics, err};

/// Why the manifests in a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Only one process may use the base directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An operation of the file system failed.
    #[error("cannot open the manifests in {}: {source}", path.display())]
    Io {
        /// The base directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl LocalDatabase {
    /// Takes over the lock of the base directory, and reads all manifests below it. Damaged ones are reported, and
    /// restored from the archive if it has a copy.
    ///
    /// # Errors
    /// The manifests cannot be read at all.
    pub async fn open(
        lock: DirectoryLock,
        rules: Rules,
        metrics: Arc<Metrics>,
    ) -> Result<LocalDatabase, OpenError> {
        let path = lock.directory().to_owned();
        let base = path.clone();
        let opened = blocking(move || load(&base, rules)).await;
        let shared =
            opened.map_err(io::Error::other).flatten().map_err(|source| OpenError::Io { path, source })?;
        Ok(LocalDatabase { shared: Arc::new(shared), metrics, _lock: lock })
    }
}

/// Why a file cannot be used.
pub(super) enum Defect {
    /// The file holds no record at all.
    NoRecord(String),
    /// The file holds a record that cannot be used here.
    Unusable(String),
}

fn load(base: &Path, rules: Rules) -> io::Result<LocalDatabaseInner> {
    let directory = Directory::open(base)?;
    let uuids = directory.uuids()?;
    let (mut views, mut damaged) = (Vec::with_capacity(uuids.len()), BTreeMap::new());
    for (uuid, read) in uuids.iter().zip(in_parallel(&uuids, |uuid| read(&directory, *uuid, rules))) {
        let (reason, view) = match read {
            Ok(view) => {
                views.push(Arc::new(view));
                continue;
            }
            Err(Defect::Unusable(reason)) => (reason, None),
            Err(Defect::NoRecord(reason)) => restored(base, &directory, *uuid, rules, reason),
        };
        let name = Directory::file_name(*uuid);
        tracing::error!(file = name, reason, "a manifest is damaged");
        views.extend(view.map(Arc::new));
        damaged.insert(name.clone(), Damaged { name, reason });
    }
    let index = Index::default();
    index.swap(&mut Prepared::new(views));
    tracing::info!(images = index.len(), damaged = damaged.len(), "manifests have been loaded");
    Ok(LocalDatabaseInner { directory, rules, index, damaged: Mutex::new(damaged) })
}

fn read(directory: &Directory, uuid: Uuid, rules: Rules) -> Result<View, Defect> {
    let bytes = match directory.read(uuid) {
        Ok(Some(Content::Bytes(bytes))) => bytes,
        Ok(Some(Content::NoRecord(reason))) => return Err(Defect::Unusable(reason)),
        Ok(None) => return Err(Defect::Unusable("it is gone".into())),
        Err(error) => {
            tracing::error!(%uuid, err.json = %err(&error), "a manifest cannot be read");
            return Err(Defect::Unusable("it cannot be read".into()));
        }
    };
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|error| Defect::NoRecord(format!("no JSON object: {error}")))?;
    let view = view::load(record, rules).map_err(Defect::Unusable)?;
    if view.uuid() == uuid {
        Ok(view)
    } else {
        Err(Defect::Unusable(format!("it is the record of {}", view.uuid())))
    }
}

/// Runs `work` for every item, on all processors. The results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let part = items.len().div_ceil(processors()).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(part)
            .map(|part| (part, scope.spawn(|| part.iter().map(&work).collect::<Vec<_>>())))
            .collect();
        let done = parts.into_iter().flat_map(|(part, thread)| {
            // A thread ends early only by a panic. The work is repeated here, and so is the panic.
            thread.join().unwrap_or_else(|_| part.iter().map(&work).collect())
        });
        done.collect()
    })
}
