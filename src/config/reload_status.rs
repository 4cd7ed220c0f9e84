// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

/// Which configuration is in force, and whether the file has another one that cannot be.
#[derive(Debug)]
pub struct InForce {
    file: PathBuf,
    situation: Mutex<Situation>,
}

/// See [`InForce`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// When the configuration in force was taken from the file.
    pub loaded_at: OffsetDateTime,
    /// Why what the file says since then is not in force.
    pub last_error: Option<LastError>,
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When that was.
    pub time: OffsetDateTime,
    /// The reason, without secrets.
    pub message: String,
}

impl InForce {
    /// That of the file, taken now.
    pub fn now(file: PathBuf) -> InForce {
        let situation = Situation { loaded_at: OffsetDateTime::now_utc(), last_error: None };
        InForce { file, situation: Mutex::new(situation) }
    }

    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How it is now.
    pub fn situation(&self) -> Situation {
        self.lock().clone()
    }

    /// What the file says is in force from now on.
    pub fn loaded(&self) {
        *self.lock() = Situation { loaded_at: OffsetDateTime::now_utc(), last_error: None };
    }

    /// The file says again what has been in force all the time. Returns whether that is news.
    pub fn is_again(&self) -> bool {
        self.lock().last_error.take().is_some()
    }

    /// What the file says cannot be in force.
    pub fn refused(&self, message: String) {
        self.lock().last_error = Some(LastError { time: OffsetDateTime::now_utc(), message });
    }

    fn lock(&self) -> MutexGuard<'_, Situation> {
        // Every change of it is one step.
        self.situation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
