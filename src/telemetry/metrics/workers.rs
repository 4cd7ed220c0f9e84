// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::SystemTime;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Builder, Metrics};

/// Metrics of the background workers.
pub(super) struct WorkersMetrics {
    done: IntCounterVec,
    failures: IntCounterVec,
    pending: IntGaugeVec,
    last_success: GaugeVec,
}

impl WorkersMetrics {
    pub(super) fn new(builder: &Builder) -> Result<WorkersMetrics, prometheus::Error> {
        const LABELS: [&str; 1] = ["worker"];
        let pending =
            IntGaugeVec::new(Opts::new("imgapi_worker_pending", "what a worker has left to do"), &LABELS)?;
        builder.0.register(Box::new(pending.clone()))?;
        let last_success = GaugeVec::new(
            Opts::new(
                "imgapi_worker_last_success_timestamp_seconds",
                "when a worker last did something without a failure, since the epoch",
            ),
            &LABELS,
        )?;
        builder.0.register(Box::new(last_success.clone()))?;
        Ok(WorkersMetrics {
            done: builder
                .counter(Opts::new("imgapi_worker_done_total", "what a worker has done"), &LABELS)?,
            failures: builder.counter(
                Opts::new("imgapi_worker_failures_total", "units of work that a worker failed at"),
                &LABELS,
            )?,
            pending,
            last_success,
        })
    }
}

impl Metrics {
    /// Returns the metrics of a worker. The names must come from a small set.
    pub fn worker(&self, name: &'static str) -> WorkerMetrics {
        WorkerMetrics {
            done: self.workers.done.with_label_values(&[name]),
            failures: self.workers.failures.with_label_values(&[name]),
            pending: self.workers.pending.with_label_values(&[name]),
            last_success: self.workers.last_success.with_label_values(&[name]),
        }
    }
}

/// The metrics of one worker.
#[derive(Debug)]
pub struct WorkerMetrics {
    done: IntCounter,
    failures: IntCounter,
    pending: IntGauge,
    last_success: Gauge,
}

impl WorkerMetrics {
    /// Counts work that was done.
    pub fn done(&self, count: u64) {
        self.done.inc_by(count);
    }

    /// Sets how much work is left.
    pub fn pending(&self, count: u64) {
        self.pending.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes that a unit of work succeeded.
    pub fn succeeded(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_success.set(now.map_or(0.0, |time| time.as_secs_f64()));
    }

    /// Counts a unit of work that failed.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Returns how much work was done, and how many units failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.done.get(), self.failures.get())
    }
}
