// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

/// The active configuration, and whether the file has another one that was rejected.
#[derive(Debug)]
pub struct ReloadStatus {
    file: PathBuf,
    load_state: Mutex<LoadState>,
}

/// See [`ReloadStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadState {
    /// When the active configuration was read from the file.
    pub loaded_at: OffsetDateTime,
    /// Why the current content of the file was rejected, if it was.
    pub last_error: Option<LastError>,
}

/// Why a configuration was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When it was rejected.
    pub time: OffsetDateTime,
    /// The reason, without secrets.
    pub message: String,
}

impl ReloadStatus {
    /// The status of a file that has just been loaded.
    pub fn new(file: PathBuf) -> ReloadStatus {
        let load_state = LoadState { loaded_at: OffsetDateTime::now_utc(), last_error: None };
        ReloadStatus { file, load_state: Mutex::new(load_state) }
    }

    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the current status.
    pub fn load_state(&self) -> LoadState {
        self.lock().clone()
    }

    /// Notes that the content of the file is active now.
    pub fn set_loaded(&self) {
        *self.lock() = LoadState { loaded_at: OffsetDateTime::now_utc(), last_error: None };
    }

    /// Notes that the file holds the active configuration. Returns whether it held a rejected one before.
    pub fn clear_error(&self) -> bool {
        self.lock().last_error.take().is_some()
    }

    /// Notes that the content of the file was rejected.
    pub fn set_error(&self, message: String) {
        self.lock().last_error = Some(LastError { time: OffsetDateTime::now_utc(), message });
    }

    fn lock(&self) -> MutexGuard<'_, LoadState> {
        // Every change is a single step, so a panic cannot leave it inconsistent.
        self.load_state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
