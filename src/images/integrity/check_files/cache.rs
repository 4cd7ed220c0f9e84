// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::name_of;
use crate::files;
use crate::manifest::Stor;
use crate::storage::Location;
use crate::telemetry::err;

/// Largest size of the cache in bytes, for some 500,000 files.
const MAX_SIZE: u64 = 64 << 20;

/// The files that were good at the last check, kept in `run/check-files.json` below the local base directory. A lost cache only
/// costs time.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Cache(BTreeMap<String, Good>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Good {
    storage: Stor,
    size: u64,
    sha1: String,
    /// The state of the stored file: see [`Storage::state`](crate::storage::Storage::state). An entry without it counts for
    /// nothing.
    #[serde(default)]
    state: String,
}

impl Good {
    fn of(location: &Location, state: &str) -> Good {
        Good {
            storage: location.stor,
            size: location.size,
            sha1: location.sha1.clone(),
            state: state.to_owned(),
        }
    }
}

impl Cache {
    pub(super) async fn read(base: &Path) -> Cache {
        let file = file(base);
        let read = tokio::task::spawn_blocking(move || files::read(&file, MAX_SIZE)).await;
        let content = read.ok().and_then(Result::ok).unwrap_or_default();
        serde_json::from_slice(&content).unwrap_or_default()
    }

    pub(super) async fn write(&self, base: &Path) {
        let (base, file) = (base.to_owned(), file(base));
        let content = serde_json::to_vec(self);
        let write = move || {
            files::create_below(&base, &base.join(DIRECTORY))?;
            files::replace(&file, &file.with_extension("json.new"), &content?)
        };
        let written =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = written {
            tracing::warn!(err.json = %err(&error), "it cannot be kept which files are good");
        }
    }

    /// Returns whether the file was good in this state.
    pub(super) fn has(&self, location: &Location, state: &str) -> bool {
        !state.is_empty() && self.0.get(&key(location)) == Some(&Good::of(location, state))
    }

    /// Adds a file that was good when it was in this state.
    pub(super) fn add(&mut self, location: &Location, state: &str) {
        self.0.insert(key(location), Good::of(location, state));
    }

    pub(super) fn remove(&mut self, location: &Location) {
        self.0.remove(&key(location));
    }
}

/// Where the cache is, below the base directory.
const DIRECTORY: &str = "run";

fn file(base: &Path) -> PathBuf {
    base.join(DIRECTORY).join("check-files.json")
}

fn key(location: &Location) -> String {
    format!("{}/{}", location.uuid, name_of(location))
}
