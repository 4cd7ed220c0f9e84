// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The last known state of the backends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::manifest::times::now;

/// The state of one backend, as `GET /ping` reports it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Its name in metrics, where it has one there.
    pub name: &'static str,
    /// Whether it works.
    pub state: BackendState,
    /// Milliseconds that the probe took; null where the probe sends no request.
    pub latency: Option<f64>,
    /// The version that the backend reports; null where it reports none.
    pub version: Option<String>,
    /// Further details, in words.
    pub detail: Option<String>,
    /// Why it was last down. This stays when the backend is back.
    pub last_error: Option<BackendError>,
}

/// See [`Backend::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// The backend works.
    Ok,
    /// The backend does not work.
    Down,
}

/// Why a backend was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendError {
    /// When the failure was noticed, ISO 8601.
    pub time: String,
    /// What failed, without a secret.
    pub message: String,
}

/// The last known state of all backends.
#[derive(Debug, Default)]
pub struct Health {
    /// The results of the last probes, and when they were made. Locked while probes run.
    pub(super) last: tokio::sync::Mutex<Option<(Instant, Arc<[Backend]>)>>,
    known: Arc<Mutex<BTreeMap<&'static str, BackendStatus>>>,
}

/// The last known state of one backend.
#[derive(Debug, Default)]
struct BackendStatus {
    is_down: bool,
    last_error: Option<BackendError>,
}

impl Health {
    /// The same state for the app of the next configuration: the probes start over, the last errors stay known.
    pub(super) fn reconfigured(&self) -> Health {
        Health { last: tokio::sync::Mutex::default(), known: Arc::clone(&self.known) }
    }

    /// Records whether and why a backend is down, and returns its last error.
    pub(super) fn record(&self, name: &'static str, reason: Option<&String>) -> Option<BackendError> {
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
