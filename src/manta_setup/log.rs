// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::process::ExitCode;

use crate::console;
use crate::telemetry::{Level, LogOptions, init};

/// Runs `work` with a log under `name`, and reports an error on standard error.
pub(super) fn reported(name: &'static str, work: impl AsyncFnOnce() -> Result<(), String>) -> ExitCode {
    let done = (|| {
        let logger = init(&LogOptions { name, level: Level::Info, source: false });
        let _logger = logger.map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(|error| error.to_string())?.block_on(work());
        match &done {
            Ok(()) => tracing::info!("Done."),
            Err(message) => tracing::error!("{message}"),
        }
        done
    })();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            console::complain(format_args!("{name}: error: {message}"));
            ExitCode::FAILURE
        }
    }
}
