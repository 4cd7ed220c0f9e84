// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The imports and pushes that run now, for operators.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

use crate::manifest::times::iso_millis;
use crate::telemetry::Metrics;

/// What kind of exchange it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportKind {
    /// AdminImportLxdImage.
    Lxd,
    /// AdminPushDockerImage.
    Push,
}

impl ImportKind {
    fn as_str(self) -> &'static str {
        match self {
            ImportKind::Lxd => "lxd",
            ImportKind::Push => "push",
        }
    }
}

/// All running imports of this process.
#[derive(Debug, Clone)]
pub struct Imports {
    running: Arc<Mutex<Running>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    imports: BTreeMap<u64, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    kind: ImportKind,
    name: String,
    request_id: String,
    started: OffsetDateTime,
    bytes: AtomicU64,
}

/// A running import, as it is shown to operators.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningImport {
    kind: ImportKind,
    /// What the caller named.
    name: String,
    req_id: String,
    started: String,
    /// The bytes of image files that came or went so far.
    bytes: u64,
}

/// Keeps an import in the list until it is dropped.
#[derive(Debug)]
pub(in crate::images) struct Import {
    id: u64,
    entry: Arc<Entry>,
    imports: Imports,
    outcome: &'static str,
}

impl Imports {
    /// No import is running.
    pub(in crate::images) fn new(metrics: Arc<Metrics>) -> Imports {
        Imports { running: Arc::default(), metrics }
    }

    /// Returns the running imports, the oldest first.
    pub fn list(&self) -> Vec<RunningImport> {
        let running = self.running();
        let shown = |entry: &Arc<Entry>| RunningImport {
            kind: entry.kind,
            name: entry.name.clone(),
            req_id: entry.request_id.clone(),
            started: iso_millis(entry.started),
            bytes: entry.bytes.load(Ordering::Relaxed),
        };
        running.imports.values().map(shown).collect()
    }

    /// Adds an import. `name` is shown to operators and must contain no secret.
    pub(in crate::images) fn begin(&self, kind: ImportKind, name: &str, request_id: &str) -> Import {
        let entry = Arc::new(Entry {
            kind,
            name: name.to_owned(),
            request_id: request_id.to_owned(),
            started: OffsetDateTime::now_utc(),
            bytes: AtomicU64::new(0),
        });
        let mut running = self.running();
        let id = running.next;
        running.next += 1;
        running.imports.insert(id, Arc::clone(&entry));
        self.metrics.import_began(kind.as_str());
        Import { id, entry, imports: self.clone(), outcome: "left" }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // The list is consistent between any two statements.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Import {
    /// Returns what counts the bytes of the import.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes(Arc::clone(&self.entry))
    }

    /// Notes how the import has ended. An import that is dropped without was left by its client.
    pub(super) fn end(mut self, is_ok: bool) {
        self.outcome = if is_ok { "ok" } else { "failed" };
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.imports.running().imports.remove(&self.id);
        self.imports.metrics.import_ended(self.entry.kind.as_str(), self.outcome);
    }
}

/// Counts the bytes of an import.
#[derive(Debug, Clone)]
pub(super) struct Bytes(Arc<Entry>);

impl Bytes {
    /// Counts bytes of image files.
    pub(super) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_listed_while_it_runs_and_counted_when_it_ends() {
        let metrics = Arc::new(Metrics::new(&crate::telemetry::StaticLabels::default()).unwrap());
        let imports = Imports::new(Arc::clone(&metrics));
        let (first, second) =
            (imports.begin(ImportKind::Lxd, "a:b", "1"), imports.begin(ImportKind::Lxd, "c:d", "2"));
        first.bytes().add(5);
        first.bytes().add(6);
        let list = serde_json::to_value(imports.list()).unwrap();
        assert_eq!(
            [&list[0]["name"], &list[0]["bytes"], &list[0]["kind"], &list[1]["name"]],
            [&serde_json::json!("a:b"), &11.into(), &"lxd".into(), &"c:d".into()]
        );
        first.end(true);
        drop(second);
        assert!(imports.list().is_empty());
        let text = metrics.encode().unwrap();
        for line in [
            "imgapi_imports_running{kind=\"lxd\"",
            "imgapi_imports_total{kind=\"lxd\",outcome=\"left\"",
            "imgapi_imports_total{kind=\"lxd\",outcome=\"ok\"",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
