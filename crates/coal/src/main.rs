// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Starts a datacenter and runs it until it is told to stop.

mod exec;
mod options;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use coal::datacenter::{DatacenterError, ReadyDatacenter, ReadyFile};
use coal::{Cloud, Datacenter};
use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::ExecWithParent { parent, command }) = options.command {
        eprintln!("coal: {}", exec::exec_with_parent(parent, &command));
        return ExitCode::FAILURE;
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::WARN).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("coal: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coal: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), DatacenterError> {
    let signals = |kind| {
        signal(kind).map_err(|source| DatacenterError::Io { action: "wait for signals".to_owned(), source })
    };
    let (mut terminate, mut interrupt) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);
    let ready_file = options.ready_file.clone();
    let cloud = tokio::select! {
        started = options.builder().start() => started?,
        () = &mut stop => return Ok(()),
    };
    announce(&cloud, ready_file)?;
    let ends = cloud.datacenters().iter().map(|datacenter| Box::pin(datacenter.unexpected_end()));
    let outcome = tokio::select! {
        () = stop => Ok(()),
        (error, ..) = select_all(ends) => Err(error),
    };
    cloud.stop().await;
    outcome
}

/// Writes the ready-file and prints what to do next.
fn announce(cloud: &Cloud, ready_file: Option<PathBuf>) -> Result<(), DatacenterError> {
    let mut text = String::new();
    let mut datacenters = Vec::new();
    for datacenter in cloud.datacenters() {
        let ready = datacenter.ready();
        text.push_str(&described(&ready, datacenter));
        datacenters.push(ready);
    }
    text.push_str(&format!("\nStop it with Ctrl-C, or: kill {}\n", std::process::id()));
    if let Some(path) = ready_file {
        let action = format!("write {}", path.display());
        ReadyFile { datacenters }.write(&path).map_err(|source| DatacenterError::Io { action, source })?;
    }
    // A closed standard output is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Describes a datacenter for people.
fn described(ready: &ReadyDatacenter, datacenter: &Datacenter) -> String {
    let mut text = format!("Datacenter \"{}\" is up:\n\n", ready.name);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<8} {value}\n"));
    ready.imgapi.iter().for_each(|url| line("imgapi", url));
    ready.metrics.iter().for_each(|url| line("metrics", url));
    line("moray", &ready.moray);
    line("ufds", &ready.ufds);
    ready.manta.iter().for_each(|url| line("manta", url));
    ready.workflow.iter().for_each(|url| line("workflow", url));
    ready.vmapi.iter().for_each(|url| line("vmapi", url));
    ready.cnapi.iter().for_each(|url| line("cnapi", url));
    line("sapi", &ready.sapi);
    line("control", &ready.control);
    line("config", &ready.config_file.display().to_string());
    if let Some(imgapi) = &ready.imgapi {
        line("log", &datacenter.log_file().display().to_string());
        datacenter.agent_log_file().iter().for_each(|file| line("agent", &file.display().to_string()));
        text.push_str(&format!("\nTry:\n\n  curl -s {imgapi}/ping\n  curl -s {imgapi}/images\n"));
    }
    text
}
