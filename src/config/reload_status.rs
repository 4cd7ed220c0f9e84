// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

/// The active configuration, and whether the file has another one that was rejected.
#[derive(Debug)]
pub struct InForce {
    file: PathBuf,
    situation: Mutex<Situation>,
}

/// See [`InForce`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
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

impl InForce {
    /// The status of a file that has just been loaded.
    pub fn now(file: PathBuf) -> InForce {
        let situation = Situation { loaded_at: OffsetDateTime::now_utc(), last_error: None };
        InForce { file, situation: Mutex::new(situation) }
    }

    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the current status.
    pub fn situation(&self) -> Situation {
        self.lock().clone()
    }

    /// Notes that the content of the file is active now.
    pub fn loaded(&self) {
        *self.lock() = Situation { loaded_at: OffsetDateTime::now_utc(), last_error: None };
    }

    /// Notes that the file holds the active configuration. Returns whether it held a rejected one before.
    pub fn is_again(&self) -> bool {
        self.lock().last_error.take().is_some()
    }

    /// Notes that the content of the file was rejected.
    pub fn refused(&self, message: String) {
        self.lock().last_error = Some(LastError { time: OffsetDateTime::now_utc(), message });
    }

    fn lock(&self) -> MutexGuard<'_, Situation> {
        // Every change is a single step, so a panic cannot leave it inconsistent.
        self.situation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
