//! The `imgapi` command: parse the command line, call one function.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use imgapi::{adm, auth, config, config_agent, manta_setup, server};

/// The version, and in a release the commit's stamp.
const VERSION: &str = match option_env!("IMGAPI_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Triton DataCenter's image registry.
#[derive(Debug, Parser)]
#[command(name = "imgapi", display_name = "IMGAPI", version = VERSION, about)]
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
    /// Ask the running service, and look after its data.
    Adm(adm::Adm),
    /// Keep the files that services are configured with as SAPI says.
    ConfigAgent(config_agent::ConfigAgent),
    MantaSetup(manta_setup::MantaSetup),
    ExternalMantaSetup(manta_setup::ExternalMantaSetup),
    MantaEnv(manta_setup::MantaEnv),
    /// Read a password from standard input, up to the end of the line, and print what stands for it in `userdb`.
    HashPassword,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve { file, debug } => server::serve(&file, debug).map_err(|error| error.to_string()),
        Command::Config { file, key } => config::print(&file, key.as_deref()),
        Command::Adm(adm) => return adm::run(&adm),
        Command::ConfigAgent(agent) => config_agent::run(&agent),
        Command::MantaSetup(setup) => return manta_setup::run(&setup),
        Command::ExternalMantaSetup(setup) => return manta_setup::run_external(&setup),
        Command::MantaEnv(env) => manta_setup::print_environment(&env),
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
