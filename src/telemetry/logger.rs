// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sets up the log: layers, queue and panics, and changes of the level while the process runs.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::Subscriber;
use tracing_bunyan_formatter::JsonStorageLayer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::bunyan::BunyanLayer;
use super::error::ErrorRecord;
use super::level::{Level, LevelLayer, Settings};
use super::queue::Queue;

/// How long the process waits for the last records when it ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How the process logs.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The `name` of every record, `imgapi` for the service.
    pub name: &'static str,
    /// Records below this level are not written.
    pub level: Level,
    /// Adds `src` (file and line) to every record, as `-ddd` does.
    pub source: bool,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { name: "imgapi", level: Level::Info, source: false }
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum InitError {
    /// Standard output or the writing thread cannot be used.
    #[error("cannot start the log writer")]
    Writer(#[from] io::Error),
    /// Another part of the process has already set a `tracing` subscriber or a logger.
    #[error("logging is set up already")]
    Already,
}

/// The log of the process. Dropping it waits up to two seconds for the last records.
pub struct Logger(LogControl);

/// Controls the log of a running process; cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    queue: Arc<Queue>,
    settings: Arc<Settings>,
}

impl LogControl {
    /// Returns the number of records dropped since the start because the output was too slow or broken.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Changes the level of all further records.
    pub fn set_level(&self, level: Level) {
        self.settings.set_level(level);
    }

    /// Blocks this thread until all records so far are written. Returns false if that takes longer than `limit`.
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }
}

impl Logger {
    /// Returns a handle for other parts of the process.
    #[must_use]
    pub fn control(&self) -> LogControl {
        self.0.clone()
    }

    /// Makes a panic in any thread, task or worker a record of level 60, and aborts the process. Then the service
    /// manager restarts it and the alarm is raised, instead of a service that continues with a part missing.
    pub fn install_panic_hook(&self) {
        let control = self.control();
        panic::set_hook(Box::new(move |info| {
            let record = panic_record(info);
            tracing::error!(fatal = true, err.json = %record, "panic: {}", record.message());
            control.flush(FLUSH_LIMIT);
            process::abort();
        }));
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

fn panic_record(info: &PanicHookInfo<'_>) -> ErrorRecord {
    let payload = info.payload();
    let text =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("panic without a message");
    let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
    ErrorRecord::from_message("Panic", &format!("{text}{}", place.unwrap_or_default()))
}

/// Starts logging to standard output, for `tracing` and for libraries that use the `log` crate.
///
/// # Errors
/// See [`InitError`].
pub fn init(options: &LogOptions) -> Result<Logger, InitError> {
    let stdout = std::fs::File::from(rustix::io::dup(io::stdout()).map_err(io::Error::from)?);
    // The bridge from the `log` crate keeps the level that it finds at the start, so that has to be the lowest one.
    let Pipeline { subscriber, queue, settings } =
        Pipeline::start(options.name, Level::Trace, options.source, stdout)?;
    subscriber.try_init().map_err(|_| InitError::Already)?;
    settings.set(options.level, options.source);
    Ok(Logger(LogControl { queue, settings }))
}

/// The layers above one output.
pub(super) struct Pipeline<S> {
    pub(super) subscriber: S,
    pub(super) queue: Arc<Queue>,
    pub(super) settings: Arc<Settings>,
}

impl Pipeline<()> {
    pub(super) fn start(
        name: &str,
        level: Level,
        source: bool,
        out: impl Write + Send + 'static,
    ) -> io::Result<Pipeline<impl Subscriber + Send + Sync>> {
        let queue = Queue::start(out)?;
        let settings = Settings::new(level, source);
        let subscriber = Registry::default()
            .with(LevelLayer(Arc::clone(&settings)))
            .with(JsonStorageLayer)
            .with(BunyanLayer::new(name, Arc::clone(&queue), Arc::clone(&settings)));
        Ok(Pipeline { subscriber, queue, settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    const CHILD: &str = "IMGAPI_TEST_PANIC_CHILD";

    /// Runs the test again in a process of its own, which may abort.
    #[test]
    fn a_panic_is_a_fatal_record_and_an_abort() {
        if std::env::var_os(CHILD).is_some() {
            let logger = init(&LogOptions::default()).unwrap();
            logger.install_panic_hook();
            let task = async {
                let _span = tracing::info_span!("request", req_id = "R9").entered();
                panic!("no {}", "luck");
            };
            // The runtime catches panics of tasks in its threads.
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { tokio::spawn(task).await.unwrap_err() });
            return;
        }
        let child = process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "telemetry::logger::tests::a_panic_is_a_fatal_record_and_an_abort",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(6), "{child:?}");
        let text = String::from_utf8(child.stdout).unwrap();
        let record = text.lines().find(|line| line.starts_with("{\"name\":\"imgapi\"")).unwrap();
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["level"], 60);
        assert_eq!(record["req_id"], "R9");
        assert!(record["msg"].as_str().unwrap().starts_with("panic: no luck at "), "{record}");
        assert_eq!(record["err"]["name"], "Panic");
    }

    #[test]
    fn records_below_the_level_are_not_written() {
        let (seen_by_test, output) = std::os::unix::net::UnixStream::pair().unwrap();
        let pipeline = Pipeline::start("imgapi", Level::Error, false, output).unwrap();
        let settings = pipeline.settings;
        let control = LogControl { queue: pipeline.queue, settings: Arc::clone(&settings) };
        tracing::subscriber::with_default(pipeline.subscriber, || {
            let log = || tracing::info!("maybe");
            log();
            settings.set(Level::Info, false);
            log();
            control.set_level(Level::Warn);
            log();
        });
        assert!(control.flush(Duration::from_secs(30)));
        assert_eq!(control.dropped(), 0);
        drop(control);
        let text = io::read_to_string(seen_by_test).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
