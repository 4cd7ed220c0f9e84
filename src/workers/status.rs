// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use super::Failure;
use crate::telemetry::{WorkerMetrics, err};

/// The status of a worker, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// What it is doing now.
    pub state: State,
    /// How much was done since the process started, in the worker's own unit.
    pub done: u64,
    /// How much is left to do, in the same unit, if known.
    pub pending: Option<u64>,
    /// A description in words.
    pub detail: Option<String>,
    /// When a unit of work last succeeded.
    pub last_success: Option<OffsetDateTime>,
    /// How many units of work failed.
    pub failures: u64,
    /// The last failure. It is kept when later work succeeds.
    pub last_error: Option<LastError>,
}

/// What a worker is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is working.
    Working,
    /// It is waiting until this time, or until it is poked.
    Waiting(OffsetDateTime),
    /// It is waiting until this time to try again after a failure.
    Retrying(OffsetDateTime),
}

/// Why a unit of work failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When it failed.
    pub time: OffsetDateTime,
    /// The error, with its causes.
    pub message: String,
}

/// The reports of a worker during its work.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    metrics: WorkerMetrics,
    report: Mutex<Report>,
}

#[derive(Debug)]
struct Report {
    state: State,
    pending: Option<u64>,
    detail: Option<String>,
    last_success: Option<OffsetDateTime>,
    last_error: Option<LastError>,
}

impl Progress {
    pub(super) fn new(name: &'static str, metrics: WorkerMetrics) -> Progress {
        let report = Report {
            state: State::Working,
            pending: None,
            detail: None,
            last_success: None,
            last_error: None,
        };
        Progress { name, metrics, report: Mutex::new(report) }
    }

    /// Makes one that is not reported anywhere.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Progress {
        let metrics = crate::telemetry::Metrics::new(&crate::telemetry::StaticLabels::default()).unwrap();
        Progress::new("test", metrics.worker("test"))
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that `count` more was done.
    pub fn done(&self, count: u64) {
        self.metrics.done(count);
    }

    /// Reports that `count` is left to do.
    pub fn pending(&self, count: u64) {
        self.metrics.pending(count);
        self.report().pending = Some(count);
    }

    /// Sets the description, which must not contain secrets.
    pub fn detail(&self, text: impl Into<String>) {
        self.report().detail = Some(text.into());
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Notes that the worker has ended.
    pub(super) fn is_over(&self) {
        self.metrics.pending(0);
    }

    pub(super) fn works(&self) {
        self.report().state = State::Working;
    }

    pub(super) fn succeeded(&self) {
        self.metrics.succeeded();
        self.report().last_success = Some(OffsetDateTime::now_utc());
    }

    pub(super) fn failed(&self, failure: &Failure) {
        let error = err(&**failure);
        tracing::error!(worker = self.name, err.json = %error, "a background worker has failed, and tries again");
        self.metrics.failed();
        let message = error.message();
        self.report().last_error = Some(LastError { time: OffsetDateTime::now_utc(), message });
    }

    pub(super) fn waits(&self, wait: Duration, is_retry: bool) {
        let until = OffsetDateTime::now_utc() + wait;
        self.report().state = if is_retry { State::Retrying(until) } else { State::Waiting(until) };
    }

    pub(super) fn status(&self) -> Status {
        let report = self.report();
        let (done, failures) = self.metrics.counts();
        Status {
            name: self.name,
            state: report.state,
            done,
            pending: report.pending,
            detail: report.detail.clone(),
            last_success: report.last_success,
            failures,
            last_error: report.last_error.clone(),
        }
    }
}
