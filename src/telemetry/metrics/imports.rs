// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::{Builder, Metrics};

/// Metrics of imports from container registries and LXD servers.
pub(super) struct ImportMetrics {
    running: IntGaugeVec,
    ended: IntCounterVec,
}

impl ImportMetrics {
    pub(super) fn new(builder: &Builder) -> Result<ImportMetrics, prometheus::Error> {
        let running =
            Opts::new("imgapi_imports_running", "running exchanges with image servers of other kinds");
        let running = IntGaugeVec::new(running, &["kind"])?;
        builder.0.register(Box::new(running.clone()))?;
        let ended = Opts::new("imgapi_imports_total", "finished exchanges with image servers of other kinds");
        Ok(ImportMetrics { running, ended: builder.counter(ended, &["kind", "outcome"])? })
    }
}

impl Metrics {
    /// Counts an import that begins. `kind` must come from a small set of names.
    pub fn import_began(&self, kind: &str) {
        self.imports.running.with_label_values(&[kind]).inc();
    }

    /// Counts an import that has ended. `outcome` is `ok`, `failed`, or `left` if the client did not wait for its end.
    pub fn import_ended(&self, kind: &str, outcome: &str) {
        self.imports.running.with_label_values(&[kind]).dec();
        self.imports.ended.with_label_values(&[kind, outcome]).inc();
    }
}
