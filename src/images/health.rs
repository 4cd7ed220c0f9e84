// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What was found out about the backends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::manifest::times::now;

/// How a backend is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Its name in metrics, where it has one there.
    pub name: &'static str,
    /// Whether it does what it is there for.
    pub state: BackendState,
    /// Milliseconds that it took to find out; null where nobody had to be asked.
    pub latency: Option<f64>,
    /// What it says that it is; null where it says nothing.
    pub version: Option<String>,
    /// More about it, in words.
    pub detail: Option<String>,
    /// Why it was last down; it stays when the backend is back.
    pub last_error: Option<BackendError>,
}

/// See [`Backend::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// It works.
    Ok,
    /// It does not.
    Down,
}

/// Why a backend was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendError {
    /// When that was noticed, ISO 8601.
    pub time: String,
    /// What was wrong, without a secret.
    pub message: String,
}

/// What is known of the backends.
#[derive(Debug, Default)]
pub struct Health {
    /// What was found out last, and when. Held while that goes on.
    pub(super) last: tokio::sync::Mutex<Option<(Instant, Arc<[Backend]>)>>,
    known: Arc<Mutex<BTreeMap<&'static str, BackendStatus>>>,
}

/// What was seen of one.
#[derive(Debug, Default)]
struct BackendStatus {
    is_down: bool,
    last_error: Option<BackendError>,
}

impl Health {
    /// That of the next configuration: its backends may be others, but what was seen remains known.
    pub(super) fn followed(&self) -> Health {
        Health { last: tokio::sync::Mutex::default(), known: Arc::clone(&self.known) }
    }

    /// Remembers why a backend is down, and returns why it last was.
    pub(super) fn noticed(&self, name: &'static str, reason: Option<&String>) -> Option<BackendError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(name).or_default();
        if known.is_down != reason.is_some() {
            known.is_down = reason.is_some();
            tracing::warn!(backend = name, is_down = known.is_down, reason, "a backend has come or gone");
        }
        if let Some(message) = reason {
            known.last_error = Some(BackendError { time: now(), message: message.clone() });
        }
        known.last_error.clone()
    }
}
