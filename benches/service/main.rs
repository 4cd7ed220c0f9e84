// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `make bench`: how fast the service is, and how much memory it takes, beside peers measured in the same run.
//!
//! A datacenter is started with the release build of `imgapi`. Each figure is measured in pairs, ours and the peer's
//! in turn, and is the median of the pairs' ratios: what disturbs the machine for a while disturbs both.
//! `docs/benchmarks.md` says how to read the output.

mod bare_axum;
mod changes;
mod child;
mod curl;
mod download;
mod durable;
mod figure;
mod fill;
mod http;
mod manta;
mod memory;
mod nginx;
mod payload;
mod requests;
mod scale;
mod stage;
mod streams;
mod upload;
mod wrk;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use coal::datacenter::MantaMode;
use tokio::signal::unix::{SignalKind, signal};

use figure::Figure;
use stage::Stage;

/// What went wrong in a measurement; only ever printed.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The command line.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure; everything without it
    figures: Vec<Topic>,
    /// Where the data goes: the disk that uploads are measured on
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    data: PathBuf,
    /// Pairs per figure; fewer are faster and less certain
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program does when it runs itself as a peer.
#[derive(Debug, Subcommand)]
enum Role {
    /// Serve a constant with axum until standard input ends
    #[command(hide = true)]
    BareAxum,
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topic {
    /// GetImageFile beside nginx
    Download,
    /// AddImageFile beside MD5 and the disk
    Upload,
    /// Ping, GetImage and ListImages beside a bare axum handler
    Requests,
    /// Memory while files come and go
    Memory,
    /// Files in Manta beside curl
    Manta,
    /// Changes beside Moray alone, and many beside one at a time
    Changes,
    /// Reads, changes, start and memory with 500 to 100,000 images
    Scale,
    /// Our parser of ZFS streams beside zstream
    Streams,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        if let Some(Role::BareAxum) = options.role {
            return bare_axum::serve().await;
        }
        tokio::select! {
            outcome = run(&options) => outcome,
            interrupted = interruption() => interrupted,
        }
    });
    // A client thread may still be at work on a connection.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for a signal that ends the program, so that what it has started ends with it.
async fn interruption() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Err("interrupted".into())
}

async fn run(options: &Options) -> Result<(), Failure> {
    let wanted = |topic| options.figures.is_empty() || options.figures.contains(&topic);
    let rounds = usize::from(options.rounds);
    figure::print_header();
    let mut stage = Stage::start(&options.data, MantaMode::None).await?;
    let mut failed = 0;
    if wanted(Topic::Download) {
        failed += report("download", download::measure(&stage, rounds).await);
    }
    if wanted(Topic::Upload) {
        failed += report("upload", upload::measure(&stage, rounds).await);
    }
    if wanted(Topic::Requests) {
        failed += report("requests", requests::measure(&stage, rounds).await);
    }
    if wanted(Topic::Changes) {
        failed += report("changes", changes::measure(&stage, rounds).await);
    }
    if wanted(Topic::Memory) {
        failed += report("memory", memory::measure(&mut stage).await);
    }
    if wanted(Topic::Manta) {
        failed += report("manta", manta::measure(&options.data, rounds).await);
    }
    if wanted(Topic::Streams) {
        failed += report("streams", streams::measure(&options.data, rounds).await);
    }
    if wanted(Topic::Scale) {
        failed += report("scale", scale::measure(&mut stage, rounds).await.map(|()| Vec::new()));
    }
    stage.stop().await;
    if failed > 0 { Err(format!("{failed} measurements failed").into()) } else { Ok(()) }
}

/// Prints what was measured, and returns the number of failures.
fn report(topic: &str, outcome: Result<Vec<Figure>, Failure>) -> usize {
    match outcome {
        Ok(figures) => {
            figures.iter().for_each(figure::print);
            0
        }
        Err(error) => {
            println!("{topic}: {error}");
            1
        }
    }
}
