//! The `imgapi` command: parse the command line, call one function.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use imgapi::{adm, auth, config, server};

/// Triton DataCenter's image registry.
#[derive(Debug, Parser)]
#[command(name = "imgapi", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the image API until a signal to stop.
    Serve {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
        file: PathBuf,
        /// Log more: once for debug, twice for trace, three times with source positions.
        #[arg(short, action = clap::ArgAction::Count)]
        debug: u8,
    },
    /// Print the configuration with its defaults and computed values, or one value of it.
    Config {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
        file: PathBuf,
        /// A dotted key, such as `moray.host`.
        key: Option<String>,
    },
    /// Ask the running service.
    Adm(adm::Adm),
    /// Read a password from standard input, up to the end of the line, and print what stands for it in `userdb`.
    HashPassword,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve { file, debug } => server::serve(&file, debug).map_err(|error| error.to_string()),
        Command::Config { file, key } => config::print(&file, key.as_deref()),
        Command::Adm(adm) => return adm::run(&adm),
        Command::HashPassword => auth::print_password_hash(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("imgapi: {message}");
            ExitCode::FAILURE
        }
    }
}
