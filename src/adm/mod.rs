// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi adm`: what an operator asks of a running service, and tools that look after its data.

mod base_dir;
mod change_stor;
mod check_files;
mod client;
mod drain;
mod dump;
mod findings;
mod load;
mod origins;
mod output;
mod status;
mod table;
mod workers;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::{Config, DEFAULT_FILE, Database};
use crate::console;
use crate::telemetry::err;
use base_dir::Need;
use change_stor::ChangeStor;
use check_files::CheckFiles;
use client::Client;
use drain::Switch;
use table::print_json;

/// How long the end of connections may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Ask the running service, and look after its data.
#[derive(Debug, Args)]
#[command(version)]
pub struct Adm {
    /// The configuration file of the service: it says where the service listens and how it knows its callers.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Where the service is, if not where the configuration says.
    #[arg(long)]
    url: Option<String>,
    /// Who asks, where the service knows its users. With basic authentication the password is read from standard input.
    #[arg(short, long)]
    user: Option<String>,
    /// The file of the user's private key, where the service knows its users by signatures.
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Tell more of what is done, on standard error.
    #[arg(short, long)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    ChangeStor(ChangeStor),
    CheckFiles(CheckFiles),
    /// Take the service of this host out of the balancers, or let them have it again.
    Drain {
        /// What to do.
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Write all manifests as they are stored, one JSON object a line. The service may run. The exit status is 1 if a record
    /// cannot be read.
    Dump {
        /// Where to; without it to standard output. A regular file is replaced when the new one is complete; anything else that
        /// is there, such as a FIFO, is written to.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List stored files that are damaged, and those that no image has.
    Findings {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// Write the manifests of a dump into the database, and tell of each what became of it. With a local database the service
    /// must not run. It can be repeated. The exit status is 1 if not all of them are there afterwards. Images whose origins are not
    /// there are told, and are no failure.
    Load {
        /// What `dump` has written; `-` for standard input.
        file: PathBuf,
        /// Only tell what would be done.
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Replace manifests that are there and differ.
        #[arg(long)]
        replace: bool,
    },
    /// Show how the service and its backends are. The exit status is 0 if all is well, and 1 if anything is not.
    Status {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// List the workers in the background.
    Workers {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
}

/// Does what the command line says. What goes wrong is told on standard error, with exit status 1; what a command means by
/// its exit status is said above.
pub fn run(adm: &Adm) -> ExitCode {
    execute(adm).unwrap_or_else(|message| {
        console::complain(format_args!("imgapi: {message}"));
        match adm.command {
            Command::CheckFiles(_) => ExitCode::from(check_files::INCOMPLETE),
            _ => ExitCode::FAILURE,
        }
    })
}

fn execute(adm: &Adm) -> Result<ExitCode, String> {
    let config = Config::load(&adm.file).map_err(|error| error.to_string())?;
    let client = || Client::new(&config, adm);
    // Looked at in vain it would seem to be empty.
    if let Some(need) = need_of_base_dir(&config, &adm.command) {
        base_dir::check(&config, adm, need)?;
    }
    let is_well = match &adm.command {
        Command::CheckFiles(options) => return check_files::check(&config, options, adm.verbose),
        Command::ChangeStor(options) => change_stor::move_all(&client()?, options),
        Command::Drain { switch } => drain::switch(&config, *switch).map(|()| true),
        Command::Dump { output } => dump::dump(&config, output.as_deref()),
        Command::Findings { json } => findings::print(&client()?, *json).map(|()| true),
        Command::Load { file, dry_run, replace } => {
            load::load(&config, file, load::How { dry_run: *dry_run, replace: *replace })
        }
        Command::Status { json } => status::print(&client()?, *json),
        Command::Workers { json } => workers::print(&client()?, *json).map(|()| true),
    };
    Ok(if is_well? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a command wants of the local base directory; `None` for one that does not look there.
fn need_of_base_dir(config: &Config, command: &Command) -> Option<Need> {
    let has_manifests = config.database == Database::Local;
    match command {
        Command::CheckFiles(_) | Command::Drain { .. } => Some(Need::Data),
        Command::Dump { .. } => has_manifests.then_some(Need::Data),
        Command::Load { .. } => has_manifests.then_some(Need::Place),
        Command::ChangeStor(_)
        | Command::Findings { .. }
        | Command::Status { .. }
        | Command::Workers { .. } => None,
    }
}

/// An error with its causes.
fn told(error: &(dyn Error + 'static)) -> String {
    err(error).message()
}
