// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::SystemTime;

use prometheus::{Gauge, IntCounter, IntGauge, Opts};

use super::{Builder, Metrics};

/// Metrics of changes of the configuration.
pub(super) struct ConfigMetrics {
    applied: IntCounter,
    refused: IntCounter,
    last_reload_successful: IntGauge,
    loaded: Gauge,
}

impl ConfigMetrics {
    pub(super) fn new(builder: &Builder) -> Result<ConfigMetrics, prometheus::Error> {
        let reloads = builder.counter(
            Opts::new("imgapi_config_reloads_total", "changes of the configuration file"),
            &["result"],
        )?;
        let loaded = Gauge::new(
            "imgapi_config_last_reload_success_timestamp_seconds",
            "when the configuration in force was taken from its file, since the epoch",
        )?;
        builder.0.register(Box::new(loaded.clone()))?;
        let metrics = ConfigMetrics {
            applied: reloads.with_label_values(&["applied"]),
            refused: reloads.with_label_values(&["refused"]),
            last_reload_successful: builder.gauge(
                "imgapi_config_last_reload_successful",
                "whether what the configuration file says is in force",
            )?,
            loaded,
        };
        metrics.set_last_reload_successful(true);
        Ok(metrics)
    }

    fn set_last_reload_successful(&self, is: bool) {
        self.last_reload_successful.set(i64::from(is));
        if is {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.loaded.set(now.map_or(0.0, |time| time.as_secs_f64()));
        }
    }
}

impl Metrics {
    /// Counts a configuration that was applied.
    pub fn config_applied(&self) {
        self.config.applied.inc();
        self.config.set_last_reload_successful(true);
    }

    /// Counts a configuration that was rejected.
    pub fn config_rejected(&self) {
        self.config.refused.inc();
        self.config.set_last_reload_successful(false);
    }

    /// Notes that the file holds the active configuration again.
    pub fn config_unchanged(&self) {
        self.config.last_reload_successful.set(1);
    }
}
