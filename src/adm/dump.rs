// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::client::run;
use super::output::Output;
use super::told;
use crate::config::Config;
use crate::console;
use crate::db::{DbError, Records, StoredRecord};
use crate::telemetry::{Metrics, StaticLabels};

/// Writes all stored records of the database, one JSON object per line, to `file` or to standard output. The service
/// may run meanwhile. Returns whether every record was written.
pub(super) fn dump(config: &Config, file: Option<&Path>) -> Result<bool, String> {
    let mut output = Output::open(file)?;
    let summary = run(write_all(config, &mut output))??;
    output.finish()?;
    Ok(summary.tell())
}

#[derive(Debug, Default)]
struct DumpSummary {
    written: u64,
    unreadable: u64,
}

impl DumpSummary {
    /// Reports the result, and returns whether nothing is missing.
    fn tell(&self) -> bool {
        console::complain(format_args!("{} records, {} that cannot be read", self.written, self.unreadable));
        self.unreadable == 0
    }
}

async fn write_all(config: &Config, output: &mut Output) -> Result<DumpSummary, String> {
    let metrics = Metrics::new(&StaticLabels::default()).map_err(|error| told(&error))?;
    let mut records = Records::open(config, Arc::new(metrics)).map_err(|error| told(&error))?;
    let mut summary = DumpSummary::default();
    loop {
        let page = records.next_page().await.map_err(|error: DbError| told(&error))?;
        if page.is_empty() {
            records.close().await;
            return Ok(summary);
        }
        for StoredRecord { key, record } in page {
            match record {
                Ok(record) => {
                    let line = serde_json::to_string(&record).map_err(|error| error.to_string())?;
                    let written = writeln!(output, "{line}");
                    written.map_err(|error| output.unwritten(&error))?;
                    summary.written += 1;
                }
                Err(reason) => {
                    console::complain(format_args!("{key}: {reason}"));
                    summary.unreadable += 1;
                }
            }
        }
    }
}
