// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Logs, once each, the entries of `incoming` that stay there because they are not from this server or cannot be opened.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files;

/// Most entries that are logged.
const MOST: usize = 100;

/// The names of the entries that have been logged.
#[derive(Debug, Clone, Default)]
pub(super) struct LoggedEntries(Arc<Mutex<HashSet<OsString>>>);

impl LoggedEntries {
    /// Logs why an entry is left alone, unless that was logged before.
    pub(super) fn log_once(&self, name: &OsStr, reason: &str) {
        let mut logged = self.names();
        if logged.len() < MOST && logged.insert(name.to_owned()) {
            let file = files::readable(name);
            tracing::warn!(file, reason, "something in the directory incoming is left alone");
        }
    }

    /// Forgets all names except these, which still exist.
    pub(super) fn retain(&self, names: &HashSet<OsString>) {
        self.names().retain(|name| names.contains(name));
    }

    fn names(&self) -> MutexGuard<'_, HashSet<OsString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
