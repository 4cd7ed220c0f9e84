// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi config-agent`: keeps the files that configure a zone's services up to date with SAPI.
//!
//! It replaces 4.13.1's config-agent, and has the same configuration, flags, manifests and templates.

mod contents;
mod daemon;
mod file;
mod manifests;
mod order;
mod pass;
mod pending;
mod post_cmd;
mod secrets;
mod settings;
mod summary;
mod template;
mod zone;

#[cfg(test)]
mod imgapi_manifests;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::console;
use crate::telemetry::{self, LogOptions};
use pass::Agent;
use settings::Settings;

/// The path of an installed agent's configuration.
const DEFAULT_FILE: &str = "/opt/smartdc/config-agent/etc/config.json";

const MAX_TIMEOUT: u64 = 24 * 3600;

/// Write configuration files from SAPI's metadata, and keep them up to date.
#[derive(Debug, Args)]
pub struct ConfigAgent {
    /// The agent's own configuration file.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Do one pass. The exit status is 0 if all files are right afterwards, and 1 otherwise.
    #[arg(short, long, visible_alias = "once")]
    synchronous: bool,
    /// With --synchronous: retry while SAPI is away, for this long at most.
    #[arg(short, long, value_name = "SECONDS", requires = "synchronous",
        value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT))]
    timeout: Option<u64>,
    /// The URL of SAPI, if the one in the configuration is not the right one.
    #[arg(short, long)]
    url: Option<String>,
    /// Print which files would change, and how. Write no file, and run no command.
    #[arg(long, conflicts_with = "synchronous")]
    test: bool,
}

/// Runs the agent with the options of the command line.
///
/// # Errors
/// The configuration is invalid; or, with `--synchronous`, not all files are as they should be.
pub fn run(options: &ConfigAgent) -> Result<(), String> {
    let settings = Settings::load(&options.file, options.url.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    if options.test {
        return runtime.block_on(test(settings));
    }
    let log = LogOptions { name: "config-agent", level: settings.log_level, source: false };
    let logger = telemetry::init(&log).map_err(|error| error.to_string())?;
    logger.install_panic_hook();
    runtime.block_on(async {
        let agent = Agent::new(settings).await.inspect_err(|problem| tracing::error!("{problem}"))?;
        if options.synchronous {
            daemon::once(agent, options.timeout.map(Duration::from_secs)).await
        } else {
            daemon::run(agent).await
        }
    })
}

async fn test(settings: Settings) -> Result<(), String> {
    let mut agent = Agent::new(settings).await?;
    let mut failed = 0;
    for (instance, instance_data) in agent.all_instance_data().await {
        match instance_data {
            Ok(instance_data) => {
                let (text, failures) = summary::summary(&instance_data);
                console::print(text)?;
                failed += failures;
            }
            Err(error) => {
                console::complain(format_args!("imgapi: {instance}: {error}"));
                failed += 1;
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} files or manifests are not usable")) }
}
