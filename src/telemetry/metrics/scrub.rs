// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use prometheus::{IntCounter, IntGauge, Opts};

use super::{Builder, Metrics};

/// Metrics of reading stored files again to verify them.
pub(super) struct ScrubMetrics {
    damaged: IntGauge,
    orphans: IntGauge,
    read: IntCounter,
}

impl ScrubMetrics {
    pub(super) fn new(builder: &Builder) -> Result<ScrubMetrics, prometheus::Error> {
        let read = Opts::new("imgapi_scrub_read_bytes_total", "bytes of stored files that were read again");
        Ok(ScrubMetrics {
            damaged: builder.gauge(
                "imgapi_scrub_damaged_files",
                "stored files that are missing or not what their manifests say",
            )?,
            orphans: builder.gauge("imgapi_scrub_orphans", "stored files that no manifest names")?,
            read: builder.counter(read, &[])?.with_label_values::<&str>(&[]),
        })
    }
}

impl Metrics {
    /// Sets how many stored files are known to be damaged, and how many belong to no image.
    pub fn set_scrub_findings(&self, damaged: u64, orphans: u64) {
        self.scrub.damaged.set(i64::try_from(damaged).unwrap_or(i64::MAX));
        self.scrub.orphans.set(i64::try_from(orphans).unwrap_or(i64::MAX));
    }

    /// Counts bytes of stored files that were read to verify them.
    pub fn scrub_read(&self, bytes: u64) {
        self.scrub.read.inc_by(bytes);
    }
}
