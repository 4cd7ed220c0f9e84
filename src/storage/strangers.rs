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
pub(super) struct Strangers(Arc<Mutex<HashSet<OsString>>>);

impl Strangers {
    /// Logs why an entry is left alone, unless that was logged before.
    pub(super) fn tell(&self, name: &OsStr, reason: &str) {
        let mut told = self.told();
        if told.len() < MOST && told.insert(name.to_owned()) {
            let file = files::readable(name);
            tracing::warn!(file, reason, "something in the directory incoming is left alone");
        }
    }

    /// Forgets all names except these, which still exist.
    pub(super) fn keep(&self, names: &HashSet<OsString>) {
        self.told().retain(|name| names.contains(name));
    }

    fn told(&self) -> MutexGuard<'_, HashSet<OsString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
