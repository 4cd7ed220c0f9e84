// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The `imgapi` command: parses the command line and calls one function.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "imgapi::console writes there, and does not panic"
)]

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use imgapi::{adm, auth, config, config_agent, console, inspect, manta_setup, server};

/// The version; in a release it includes a stamp of the commit.
const VERSION: &str = match option_env!("IMGAPI_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Triton DataCenter's image registry.
#[derive(Debug, Parser)]
#[command(name = "imgapi", display_name = "IMGAPI", version = VERSION, about)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    imgapid: Imgapid,
}

/// The command line of the small server `imgapid` of github.com/trondn/imgapi.
#[derive(Debug, Args)]
struct Imgapid {
    /// Run the service, as `imgapid -s` does
    #[arg(short = 's')]
    serves: bool,
    /// With -s: the configuration file, which may be one of `imgapid` [default: $HOME/.imgapi.json]
    #[arg(short = 'c', value_name = "FILE", requires = "serves")]
    file: Option<PathBuf>,
}

impl Imgapid {
    fn run(self) -> Result<(), String> {
        let in_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".imgapi.json"));
        let file = self.file.or_else(in_home).ok_or("-c FILE is required, because HOME is not set")?;
        server::serve(&file, 0).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT.
    Serve {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
        file: PathBuf,
        /// Log at level debug; -dd logs at level trace, -ddd adds source positions.
        #[arg(short, action = clap::ArgAction::Count)]
        debug: u8,
    },
    /// Print the configuration, with defaults and computed values, or one of its values.
    Config {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
        file: PathBuf,
        /// A dotted key, such as `moray.host`.
        key: Option<String>,
    },
    /// Inspect the running service, and maintain its data.
    Adm(adm::Adm),
    /// Write configuration files from SAPI's metadata, and keep them up to date.
    ConfigAgent(config_agent::ConfigAgent),
    Inspect(inspect::Inspect),
    MantaSetup(manta_setup::MantaSetup),
    ExternalMantaSetup(manta_setup::ExternalMantaSetup),
    MantaEnv(manta_setup::MantaEnv),
    /// Read a password from standard input, up to the end of the line, and print its hash for `userdb`.
    HashPassword,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return tell(&answer),
    };
    let Some(command) = cli.command else { return ended(cli.imgapid.run()) };
    let done = match command {
        Command::Serve { file, debug } => server::serve(&file, debug).map_err(|error| error.to_string()),
        Command::Config { file, key } => config::print(&file, key.as_deref()),
        Command::Adm(adm) => return adm::run(&adm),
        Command::ConfigAgent(agent) => config_agent::run(&agent),
        Command::Inspect(inspect) => return inspect::run(&inspect),
        Command::MantaSetup(setup) => return manta_setup::run(&setup),
        Command::ExternalMantaSetup(setup) => return manta_setup::run_external(&setup),
        Command::MantaEnv(env) => manta_setup::print_environment(&env),
        Command::HashPassword => auth::print_password_hash(),
    };
    ended(done)
}

/// Prints an error of the command line on standard error, or the requested help or version on standard output.
fn tell(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() {
        // If that fails, it cannot be reported anywhere.
        let _ = answer.print();
        return ExitCode::from(answer.exit_code().try_into().unwrap_or(1));
    }
    let text = answer.render();
    ended(if io::stdout().is_terminal() { console::print(text.ansi()) } else { console::print(text) })
}

fn ended(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            console::complain(format_args!("imgapi: {message}"));
            ExitCode::FAILURE
        }
    }
}
