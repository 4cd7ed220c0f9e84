// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Metrics for cmon-agent and Prometheus: the two HTTP metrics that every Triton service has, and those of this service.
//!
//! cmon-agent's parser discards the whole text at the first element that it does not know. So there are only counters,
//! gauges and histograms in text format 0.0.4, without `# EOF`.

mod config;
mod database;
mod http;
mod imports;
mod process;
mod scrub;
mod workers;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus::proto::LabelPair;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use thiserror::Error;

use config::ConfigMetrics;
use database::DatabaseMetrics;
use http::HttpMetrics;
use imports::ImportMetrics;
use scrub::ScrubMetrics;
use workers::WorkersMetrics;

pub use workers::WorkerMetrics;

use crate::platform;

/// Labels that every metric of the process has.
#[derive(Clone, Debug, Default)]
pub struct StaticLabels {
    /// `datacenterName` of the configuration.
    pub datacenter: String,
    /// `instanceUuid`.
    pub instance: String,
    /// `serverUuid`.
    pub server: String,
    /// `serviceName`, `imgapi`.
    pub service: String,
}

impl StaticLabels {
    fn pairs(&self) -> Vec<LabelPair> {
        let pairs = [
            ("datacenter", &self.datacenter),
            ("instance", &self.instance),
            ("server", &self.server),
            ("service", &self.service),
        ];
        let pair = |(name, value): (&str, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.clone());
            pair
        };
        pairs.into_iter().map(pair).collect()
    }
}

/// A mistake in the definitions of the metrics, or a failure to encode them.
#[derive(Debug, Error)]
#[error("metrics registry")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of the process. One per process, shared by reference.
pub struct Metrics {
    registry: Registry,
    labels: RwLock<Vec<LabelPair>>,
    http: HttpMetrics,
    open_connections: IntGauge,
    in_flight: IntGauge,
    backend_requests: IntCounterVec,
    backend_seconds: HistogramVec,
    moray_connections: IntGauge,
    database: DatabaseMetrics,
    workers: WorkersMetrics,
    scrub: ScrubMetrics,
    imports: ImportMetrics,
    config: ConfigMetrics,
    file_bytes: [IntCounter; 2],
    stalled: [IntCounter; 2],
    log_dropped: IntCounter,
    log_dropped_seen: AtomicU64,
    resident_memory: IntGauge,
}

/// Registers each metric when it is created.
struct Builder(Registry);

impl Builder {
    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn counter(&self, opts: Opts, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let counter = IntCounterVec::new(opts, labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn histogram(&self, opts: HistogramOpts, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let histogram = HistogramVec::new(opts, labels)?;
        self.0.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }
}

/// Returns the buckets of `buckets_version` 1 of triton-metrics 1.0.3, in seconds.
fn http_buckets() -> Vec<f64> {
    let decade = [1.0, 2.0, 4.0, 6.0, 8.0];
    // By division, because 6 / 1000 is printed as 0.006, and 6 * 0.001 is not.
    let below_one = [1000.0, 100.0, 10.0].into_iter().flat_map(|by| decade.map(|step| step / by));
    let above = [1.0, 10.0, 100.0, 1000.0].into_iter().flat_map(|by| decade.map(|step| step * by));
    below_one.chain(above).filter(|bound| *bound <= 4000.0).collect()
}

impl Metrics {
    /// Defines all metrics.
    ///
    /// # Errors
    /// The registry rejects a definition.
    pub fn new(labels: &StaticLabels) -> Result<Metrics, MetricsError> {
        let builder = Builder(Registry::new());
        let file_bytes = builder.counter(
            Opts::new("imgapi_file_bytes_total", "bytes of image files received and sent"),
            &["direction"],
        )?;
        let stalled = builder.counter(
            Opts::new(
                "imgapi_transfers_stalled_total",
                "transfers given up because the other end was too slow",
            ),
            &["direction"],
        )?;
        let log_dropped = builder.counter(
            Opts::new(
                "imgapi_log_records_dropped_total",
                "log records dropped because the output was too slow",
            ),
            &[],
        )?;
        let start_time = prometheus::Gauge::new(
            "process_start_time_seconds",
            "start time of the process since the epoch",
        )?;
        start_time.set(process::start_time());
        builder.0.register(Box::new(start_time))?;
        Ok(Metrics {
            http: HttpMetrics::new(&builder)?,
            open_connections: builder.gauge("imgapi_http_connections_open", "open HTTP connections")?,
            in_flight: builder.gauge("imgapi_http_requests_in_flight", "requests being handled")?,
            backend_requests: builder.counter(
                Opts::new("imgapi_backend_requests_total", "calls to other services"),
                &["backend", "op", "outcome"],
            )?,
            backend_seconds: builder.histogram(
                HistogramOpts::new(
                    "imgapi_backend_request_duration_seconds",
                    "time of calls to other services",
                )
                .buckets(prometheus::exponential_buckets(0.001, 4.0, 9)?),
                &["backend", "op"],
            )?,
            moray_connections: builder
                .gauge("imgapi_moray_connections", "established connections to Moray")?,
            database: DatabaseMetrics::new(&builder)?,
            workers: WorkersMetrics::new(&builder)?,
            scrub: ScrubMetrics::new(&builder)?,
            imports: ImportMetrics::new(&builder)?,
            config: ConfigMetrics::new(&builder)?,
            file_bytes: ["in", "out"].map(|direction| file_bytes.with_label_values(&[direction])),
            stalled: ["in", "out"].map(|direction| stalled.with_label_values(&[direction])),
            log_dropped: log_dropped.with_label_values::<&str>(&[]),
            log_dropped_seen: AtomicU64::new(0),
            resident_memory: builder
                .gauge("process_resident_memory_bytes", "resident memory of the process")?,
            labels: RwLock::new(labels.pairs()),
            registry: builder.0,
        })
    }

    /// Changes the labels of all metrics.
    pub fn set_labels(&self, labels: &StaticLabels) {
        *self.labels.write().unwrap_or_else(PoisonError::into_inner) = labels.pairs();
    }

    /// Counts a finished request. `route` is the route's name or `unknown`, `user_agent` the complete header. Cheap:
    /// two look-ups under shared locks once a combination has been seen.
    pub fn observe_request(
        &self,
        route: &'static str,
        method: &str,
        user_agent: Option<&str>,
        status: u16,
        duration: Duration,
    ) {
        self.http.observe(route, method, user_agent, status, duration.as_secs_f64());
    }

    /// Counts an open HTTP connection.
    pub fn connection_opened(&self) {
        self.open_connections.inc();
    }

    /// Stops counting an HTTP connection as open.
    pub fn connection_closed(&self) {
        self.open_connections.dec();
    }

    /// Counts a request in flight until the guard is dropped.
    #[must_use]
    pub fn request_started(&self) -> GaugeGuard {
        GaugeGuard::of(&self.in_flight)
    }

    /// Records a call to another service: `backend` is `moray`, `ufds`…, `op` its operation, `outcome` is `ok` or the
    /// kind of error. All three must come from small sets of names.
    pub fn observe_backend(&self, backend: &str, op: &str, outcome: &str, duration: Duration) {
        self.backend_requests.with_label_values(&[backend, op, outcome]).inc();
        self.backend_seconds.with_label_values(&[backend, op]).observe(duration.as_secs_f64());
    }

    /// Sets the number of established connections to Moray.
    pub fn set_moray_connections(&self, count: usize) {
        self.moray_connections.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts received bytes of image files.
    pub fn file_bytes_in(&self, bytes: u64) {
        self.file_bytes[0].inc_by(bytes);
    }

    /// Counts sent bytes of image files.
    pub fn file_bytes_out(&self, bytes: u64) {
        self.file_bytes[1].inc_by(bytes);
    }

    /// Counts an upload that was too slow.
    pub fn transfer_stalled_in(&self) {
        self.stalled[0].inc();
    }

    /// Counts a response that was read too slowly.
    pub fn transfer_stalled_out(&self) {
        self.stalled[1].inc();
    }

    /// Sets the number of log records dropped since the start ([`super::LogControl::dropped`]).
    pub fn set_log_dropped(&self, total: u64) {
        let before = self.log_dropped_seen.fetch_max(total, Ordering::Relaxed);
        self.log_dropped.inc_by(total.saturating_sub(before));
    }

    /// Returns all metrics as text, `text/plain; version=0.0.4`.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub fn encode(&self) -> Result<String, MetricsError> {
        if let Some(bytes) = platform::resident_memory() {
            self.resident_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let mut families = self.registry.gather();
        let labels = self.labels.read().unwrap_or_else(PoisonError::into_inner);
        for metric in families.iter_mut().flat_map(|family| family.mut_metric()) {
            let mut all = metric.take_label();
            all.extend(labels.iter().cloned());
            metric.set_label(all);
        }
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A guard that adds one to a gauge until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn of(gauge: &IntGauge) -> GaugeGuard {
        gauge.inc();
        GaugeGuard(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One combination of request labels.
struct Series {
    completed: IntCounter,
    duration: Histogram,
}

#[cfg(test)]
mod tests;
