//! `imgapi adm`: what an operator asks of a running service.

mod client;
mod findings;
mod table;
mod workers;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, DEFAULT_FILE};
use client::Client;

/// Ask the running service.
#[derive(Debug, Args)]
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
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List stored files that are damaged, and those that no image has.
    Findings {
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

/// Does what the command line says.
///
/// # Errors
/// What is wrong with the configuration, or the service's answer.
pub fn run(adm: &Adm) -> Result<(), String> {
    let config = Config::load(&adm.file).map_err(|error| error.to_string())?;
    let client = Client::new(&config, adm)?;
    match adm.command {
        Command::Findings { json } => findings::print(&client, json),
        Command::Workers { json } => workers::print(&client, json),
    }
}
