// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi adm`: shows an operator the state of a running service, and maintains its data.

mod base_dir;
mod change_stor;
mod check_files;
mod client;
mod drain;
mod dump;
mod findings;
mod imports;
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
use base_dir::Purpose;
use change_stor::ChangeStor;
use check_files::CheckFiles;
use client::Client;
use drain::Switch;
use table::print_json;

/// How long closing connections may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Inspect the running service, and maintain its data.
#[derive(Debug, Args)]
#[command(version)]
pub struct Adm {
    /// The configuration file of the service. It has the address of the service, and how callers authenticate.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// The URL of the service, if the address in the configuration is not the right one.
    #[arg(long)]
    url: Option<String>,
    /// The user to authenticate as. With basic authentication the command reads the password from standard input.
    #[arg(short, long)]
    user: Option<String>,
    /// The file with the user's private key, for authentication by signatures.
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Report progress on standard error.
    #[arg(short, long)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    ChangeStor(ChangeStor),
    CheckFiles(CheckFiles),
    /// Tell load balancers to stop or to resume sending requests to this host.
    Drain {
        /// Whether the service is to be drained.
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Write all manifests to a file, as they are stored, one JSON object per line.
    ///
    /// The service may run meanwhile. The exit status is 1 if a record cannot be read.
    Dump {
        /// The file to write; without it standard output. A regular file is replaced when the new one is complete. Anything
        /// else, such as a FIFO, is written to.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List damaged files, and files that no image has, as the scrubber found them.
    Findings {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// List the imports from image servers of LXD and the pushes to container registries that run now.
    Imports {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// Store the manifests of a dump in the database.
    ///
    /// The command reports what it did with each manifest. It leaves existing manifests alone, and may be repeated. With a local
    /// database the service must not run. The exit status is 0 if all manifests are there afterwards, and 1 otherwise. The command
    /// names images whose origins are missing, which is no failure.
    Load {
        /// The file that `dump` has written; `-` for standard input.
        file: PathBuf,
        /// Only report what the command would do.
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Replace existing manifests that differ.
        #[arg(long)]
        replace: bool,
    },
    /// Show whether the service and its backends work.
    ///
    /// The exit status is 0 if all is well, and 1 if something is not.
    Status {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// List the background workers, with their progress and last errors.
    Workers {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
}

/// Runs the command. Errors are printed on standard error, with exit status 1; the documentation of each command above
/// says what else its exit status means.
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
    // A wrong directory would seem to be empty.
    if let Some(purpose) = purpose_of_base_dir(&config, &adm.command) {
        base_dir::check(&config, adm, purpose)?;
    }
    let is_well = match &adm.command {
        Command::CheckFiles(options) => return check_files::check(&config, options, adm.verbose),
        Command::ChangeStor(options) => change_stor::move_all(&client()?, options),
        Command::Drain { switch } => drain::switch(&config, *switch).map(|()| true),
        Command::Dump { output } => dump::dump(&config, output.as_deref()),
        Command::Findings { json } => findings::print(&client()?, *json).map(|()| true),
        Command::Imports { json } => imports::print(&client()?, *json).map(|()| true),
        Command::Load { file, dry_run, replace } => {
            load::load(&config, file, load::LoadOptions { dry_run: *dry_run, replace: *replace })
        }
        Command::Status { json } => status::print(&client()?, *json),
        Command::Workers { json } => workers::print(&client()?, *json).map(|()| true),
    };
    Ok(if is_well? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns what a command needs the local base directory for; `None` if it does not use it.
fn purpose_of_base_dir(config: &Config, command: &Command) -> Option<Purpose> {
    let has_manifests = config.database == Database::Local;
    match command {
        Command::CheckFiles(_) | Command::Drain { .. } => Some(Purpose::Data),
        Command::Dump { .. } => has_manifests.then_some(Purpose::Data),
        Command::Load { .. } => has_manifests.then_some(Purpose::Place),
        Command::ChangeStor(_)
        | Command::Findings { .. }
        | Command::Imports { .. }
        | Command::Status { .. }
        | Command::Workers { .. } => None,
    }
}

/// Formats an error with its causes.
fn told(error: &(dyn Error + 'static)) -> String {
    err(error).message()
}
