// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts};

use super::{Builder, Metrics};

/// Metrics of the manifests' database, other than those of calls to it.
pub(super) struct DatabaseMetrics {
    images: IntGauge,
    damaged: IntGauge,
    age: Gauge,
    rounds: IntCounterVec,
    rebuilds: IntCounter,
}

impl DatabaseMetrics {
    pub(super) fn new(builder: &Builder) -> Result<DatabaseMetrics, prometheus::Error> {
        let age = Gauge::new(
            "imgapi_replica_age_seconds",
            "time since the images in memory were known to be those of the database",
        )?;
        builder.0.register(Box::new(age.clone()))?;
        let rebuilds = Opts::new("imgapi_replica_rebuilds_total", "times all images were loaded");
        Ok(DatabaseMetrics {
            images: builder.gauge("imgapi_images", "images in memory")?,
            damaged: builder.gauge("imgapi_damaged_records", "records that cannot be used")?,
            age,
            rounds: builder.counter(
                Opts::new("imgapi_replica_rounds_total", "comparisons of the images in memory with Moray"),
                &["outcome"],
            )?,
            rebuilds: builder.counter(rebuilds, &[])?.with_label_values::<&str>(&[]),
        })
    }
}

impl Metrics {
    /// Sets how many images are in memory, how many records cannot be used, and how long ago the images in memory were
    /// known to match the database.
    pub fn set_database(&self, images: usize, damaged: usize, age: Duration) {
        self.database.images.set(i64::try_from(images).unwrap_or(i64::MAX));
        self.database.damaged.set(i64::try_from(damaged).unwrap_or(i64::MAX));
        self.database.age.set(age.as_secs_f64());
    }

    /// Counts a comparison of the images in memory with Moray. `outcome` is `same`, `changed`, `compared` (if a
    /// difference had to be searched for) or `failed`.
    pub fn replica_round(&self, outcome: &'static str) {
        self.database.rounds.with_label_values(&[outcome]).inc();
    }

    /// Counts a load of all images.
    pub fn replica_rebuilt(&self) {
        self.database.rebuilds.inc();
    }
}
