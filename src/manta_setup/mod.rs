// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi manta-setup`, `imgapi external-manta-setup` and `imgapi manta-env`: an operator runs them once, in a
//! datacenter's zone, to store files in Manta.
//!
//! They set seven metadata keys of the service `imgapi` in SAPI. Within three minutes the config-agents in every zone
//! of the service render configuration files from them.

mod account;
mod environment;
mod external;
mod key;
mod log;
mod retire_keys;
mod sapi_service;
mod triton_manta;
mod wait_for_key;
mod zone;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::DEFAULT_FILE;
use crate::console;

/// Store files in a Manta that has the accounts of this datacenter.
///
/// The command makes a key, adds it to the administrator's account, and stores the settings in SAPI. It may be run again at any
/// time, and then continues where an earlier run has stopped. It logs to standard output, one Bunyan record per line.
#[derive(Debug, Args)]
#[command(override_usage = "imgapi manta-setup [OPTIONS] <MANTA-URL>")]
pub struct MantaSetup {
    /// The configuration file of the service.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Replace the key by a new one, and use the settings of this command line in place of the existing ones.
    #[arg(short, long)]
    force: bool,
    /// The Manta is far away: images of the administrator stay local.
    #[arg(short, long)]
    remote: bool,
    /// Accept any certificate from Manta.
    #[arg(short, long)]
    insecure: bool,
    /// How long to wait until Manta accepts a new key; with 0 the command does not check.
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = seconds)]
    key_wait: Duration,
    /// How long to wait until this zone has a new key, before the old one is deleted.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    agent_wait: Duration,
    /// How long the old key stays after that, for running requests and for other zones; by default 15, or 240 if the
    /// service has other zones.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    grace: Option<Duration>,
    /// The URL of Manta, or FIRST-LB for the external address of this datacenter's first Manta load balancer.
    #[arg(value_name = "MANTA-URL")]
    words: Vec<String>,
}

/// Store files in a Manta that has other accounts than this datacenter.
///
/// The command stores the settings in SAPI. The account must have the key already. The public key is beside the private key, in a
/// file of the same name with `.pub` added. The command logs to standard output, one Bunyan record per line.
#[derive(Debug, Args)]
#[command(
    override_usage = "imgapi external-manta-setup [OPTIONS] <MANTA-URL> <MANTA-USER> <PRIVATE-KEY-FILE>"
)]
pub struct ExternalMantaSetup {
    /// The configuration file of the service.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Accept any certificate from Manta.
    #[arg(short, long)]
    insecure: bool,
    /// How long to wait until Manta accepts the key; with 0 the command does not check.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    key_wait: Duration,
    /// The URL of Manta, the login of the account there, and the file with its private key.
    #[arg(value_name = "ARGUMENT")]
    words: Vec<String>,
}

/// Print shell commands that give Manta's own tools the service's settings. Without a Manta it prints nothing.
#[derive(Debug, Args)]
pub struct MantaEnv {
    /// The configuration file of the service.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

/// Sets up a Manta with the accounts of this datacenter.
pub fn run(setup: &MantaSetup) -> ExitCode {
    log::reported("imgapi-manta-setup", async || {
        let [url] = setup.words.as_slice() else { return Err(arguments("imgapi-manta-setup")) };
        triton_manta::set_up(setup, url.parse()?).await
    })
}

/// Sets up a Manta with other accounts.
pub fn run_external(setup: &ExternalMantaSetup) -> ExitCode {
    const NAME: &str = "imgapi-external-manta-setup";
    log::reported(NAME, async || {
        let [url, user, key] = setup.words.as_slice() else { return Err(arguments(NAME)) };
        external::set_up(setup, url, user, key.as_ref()).await
    })
}

/// Prints the environment.
///
/// # Errors
/// What is wrong with the configuration file.
pub fn print_environment(env: &MantaEnv) -> Result<(), String> {
    console::print(environment::of(&zone::Zone::read(&env.config)?)?)
}

fn arguments(name: &str) -> String {
    format!("incorrect number of args (try \"{name} --help\")")
}

/// Parses a number of seconds, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    const MAX: u64 = 24 * 3600;
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("must be a number from 0 to {MAX}"))
}
