use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::client::run;
use super::told;
use crate::config::Config;
use crate::db::{DbError, Records, StoredRecord};
use crate::telemetry::{Metrics, StaticLabels};

/// Records tell who may use what: they are for the operator.
const MODE: u32 = 0o600;

/// Writes all records of the database, one JSON object a line, as they are stored. `file` is there when it is complete; without
/// one they go to standard output. The service may run meanwhile. Returns whether every record could be written.
pub(super) fn dump(config: &Config, file: Option<&Path>) -> Result<bool, String> {
    let Some(file) = file else {
        let done = run(write_all(config, &mut io::stdout().lock()))??;
        return Ok(done.tell());
    };
    let failed = |error: io::Error| format!("{}: {error}", file.display());
    let part = part_of(file);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&part);
    let mut output = BufWriter::new(opened.map_err(failed)?);
    let written = run(write_all(config, &mut output)).and_then(|done| done).and_then(|done| {
        let synced = output.flush().and_then(|()| output.get_ref().sync_all());
        synced.and_then(|()| fs::rename(&part, file)).map(|()| done).map_err(failed)
    });
    match written {
        Ok(done) => Ok(done.tell()),
        Err(error) => {
            // What is not complete is of no use.
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    file.with_file_name(name)
}

#[derive(Debug, Default)]
struct Done {
    written: u64,
    unreadable: u64,
}

impl Done {
    /// Says so, and whether nothing is missing.
    fn tell(&self) -> bool {
        eprintln!("{} records, {} that cannot be read", self.written, self.unreadable);
        self.unreadable == 0
    }
}

async fn write_all(config: &Config, output: &mut impl Write) -> Result<Done, String> {
    let metrics = Metrics::new(&StaticLabels::default()).map_err(|error| told(&error))?;
    let mut records = Records::open(config, Arc::new(metrics)).map_err(|error| told(&error))?;
    let mut done = Done::default();
    loop {
        let page = records.next_page().await.map_err(|error: DbError| told(&error))?;
        if page.is_empty() {
            records.close().await;
            return Ok(done);
        }
        for StoredRecord { key, record } in page {
            match record {
                Ok(record) => {
                    let line = serde_json::to_string(&record).map_err(|error| error.to_string())?;
                    writeln!(output, "{line}").map_err(|error| format!("cannot write: {error}"))?;
                    done.written += 1;
                }
                Err(reason) => {
                    eprintln!("{key}: {reason}");
                    done.unreadable += 1;
                }
            }
        }
    }
}
