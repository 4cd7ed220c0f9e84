// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use coal::datacenter::{CloudBuilder, DatacenterBuilder, MantaMode, Ports};
use coal::{Cloud, Datacenter};

/// Cloud on a laptop: a Triton datacenter in one process, for development and tests.
#[derive(Debug, Parser)]
#[command(name = "coal", version, subcommand_negates_reqs = true)]
pub(crate) struct Options {
    /// Directory for all data, which is kept. By default a temporary directory, which is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// "auto" for free ports, or the first of ten consecutive ports: imgapi, metrics, moray, ufds, manta, control, workflow,
    /// vmapi, cnapi, sapi. The ports of further datacenters follow.
    #[arg(long, value_name = "auto|BASE", default_value = "auto", value_parser = parse_ports)]
    pub(crate) ports: Ports,
    /// Manta to run: one that belongs to this datacenter, one that imgapi treats as remote, one that imgapi is not configured
    /// for, or none.
    #[arg(long, value_name = "local|remote|unused|none", default_value = "local", value_parser = parse_manta)]
    pub(crate) manta: MantaMode,
    /// File to write, as JSON, as soon as all services answer.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Path of the imgapi program. By default the one in coal's directory.
    #[arg(long, value_name = "PATH", conflicts_with = "no_imgapi")]
    pub(crate) imgapi: Option<PathBuf>,
    /// Start the backends and write the config, but do not run imgapi.
    #[arg(long)]
    pub(crate) no_imgapi: bool,
    /// Write imgapi's config once, instead of running the config-agent, which renders it from SAPI's metadata.
    #[arg(long)]
    pub(crate) direct_config: bool,
    /// Leave out the Workflow API, VMAPI and CNAPI.
    #[arg(long)]
    pub(crate) no_services: bool,
    /// Put the images of the machines into imgapi, if there are machines and imgapi, so that it can create images of them at
    /// once.
    #[arg(long)]
    pub(crate) images: bool,
    /// Number of datacenters, which know each other. All but the first have a number after their name.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) datacenters: u16,
    /// Name of the datacenter.
    #[arg(long, value_name = "NAME", default_value = "coal")]
    pub(crate) datacenter_name: String,
    /// LDIF file with the entries of UFDS, instead of the built-in accounts.
    #[arg(long, value_name = "FILE")]
    pub(crate) ufds_ldif: Option<PathBuf>,
    /// Internal commands.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Commands that only coal itself runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Become another program that ends when its parent ends.
    #[command(hide = true)]
    ExecWithParent {
        /// Process id of the parent.
        #[arg(long)]
        parent: u32,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<PathBuf>,
    },
}

fn parse_ports(text: &str) -> Result<Ports, String> {
    if text == "auto" {
        return Ok(Ports::Auto);
    }
    // The other ports follow the first one.
    let last = u16::MAX - (Ports::COUNT - 1);
    match text.parse::<u16>() {
        Ok(base) if (1..=last).contains(&base) => Ok(Ports::Base(base)),
        _ => Err(format!("neither \"auto\" nor a port from 1 to {last}")),
    }
}

fn parse_manta(text: &str) -> Result<MantaMode, String> {
    match text {
        "local" => Ok(MantaMode::Local),
        "remote" => Ok(MantaMode::Remote),
        "unused" => Ok(MantaMode::Unused),
        "none" => Ok(MantaMode::None),
        _ => Err("neither local, nor remote, nor unused, nor none".to_owned()),
    }
}

impl Options {
    /// Returns the builder for the requested datacenters.
    pub(crate) fn builder(self) -> CloudBuilder {
        let name = self.datacenter_name.clone();
        let number = |index: u16| if index == 1 { name.clone() } else { format!("{name}-{index}") };
        let names: Vec<String> = (1..=self.datacenters).map(number).collect();
        let ports = self.ports;
        Cloud::builder(self.template(), names).ports(ports)
    }

    fn template(self) -> DatacenterBuilder {
        let mut builder = Datacenter::builder()
            .manta(self.manta)
            .services(!self.no_services)
            .images(self.images)
            .config_from_sapi(!self.direct_config);
        if let Some(data) = self.data {
            builder = builder.data_dir(data);
        }
        if let Some(ldif) = self.ufds_ldif {
            builder = builder.ufds_ldif(ldif);
        }
        if self.no_imgapi {
            return builder;
        }
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("coal"));
        let imgapi = self.imgapi.unwrap_or_else(|| own.with_file_name("imgapi"));
        if cfg!(target_os = "linux") {
            let parent = std::process::id().to_string().into();
            let words = vec![own, "exec-with-parent".into(), "--parent".into(), parent, "--".into(), imgapi];
            builder.imgapi_command(words)
        } else {
            builder.imgapi(imgapi)
        }
    }
}
