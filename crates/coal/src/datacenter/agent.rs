// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The config-agent: `imgapi config-agent`, which renders IMGAPI's config from SAPI's metadata.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::builder::DataDir;
use super::child::{Launch, Process};
use super::config::write_json;
use super::error::{DatacenterError, cannot};
use super::ports::Addresses;
use super::sapi::Sapi;
use super::templates::{self, Places};
use crate::moray::MorayServer;
use crate::sapi::SERVER_UUID;

/// Average interval at which the agent polls SAPI, in milliseconds. The agent varies it.
const POLL_INTERVAL: u64 = 1_000;
/// Timeout of the first rendering, in seconds.
const FIRST_PASS: &str = "60";

/// A running config-agent and how to start it again.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) launch: Launch,
    pub(super) process: Process,
}

/// The agent's files in the data directory.
#[derive(Debug)]
pub(super) struct AgentFiles {
    directory: PathBuf,
    log: PathBuf,
}

impl AgentFiles {
    pub(super) fn new(data: &DataDir) -> Self {
        Self { directory: data.path().join("config-agent"), log: data.log_dir().join("config-agent.log") }
    }

    /// Returns the file for the agent's standard output and error.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    fn config(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    /// Returns the directory of the manifests.
    fn manifests(&self) -> PathBuf {
        self.directory.join("sapi_manifests")
    }
}

/// Everything that is needed to install and run the agent.
#[derive(Debug)]
pub(super) struct Installation<'a> {
    /// The `imgapi` program.
    pub(super) command: &'a [PathBuf],
    pub(super) environment: &'a [(String, String)],
    pub(super) data: &'a DataDir,
    pub(super) addresses: Addresses,
    pub(super) moray: &'a MorayServer,
    pub(super) sapi: &'a Sapi,
    /// Keys of IMGAPI's config besides those of the template.
    pub(super) settings: &'a Map<String, Value>,
}

impl Installation<'_> {
    /// Writes the manifests and the configuration, and renders once.
    pub(super) async fn render(&self) -> Result<Launch, DatacenterError> {
        // A killed coal leaves this file behind. The process id in it may belong to any process by now.
        let _ = std::fs::remove_file(self.data.pid_file());
        let files = AgentFiles::new(self.data);
        let config_file = self.data.config_file();
        let manifests = files.manifests();
        std::fs::create_dir_all(&manifests).map_err(cannot(format!("create {}", manifests.display())))?;
        let keys = self.data.keys_dir();
        std::fs::create_dir_all(&keys).map_err(cannot(format!("create {}", keys.display())))?;
        let places = Places {
            config: &config_file,
            key: &keys.join("imgapi.key"),
            manta_profile: &self.data.path().join("mantaprofile"),
            pid_file: &self.data.pid_file(),
            imgapi: self.addresses.imgapi,
            metrics: self.addresses.metrics,
            moray: self.moray.address(),
            settings: self.settings,
        };
        templates::install(&manifests, &places)
            .map_err(|misfit| cannot("use sapi_manifests")(std::io::Error::other(misfit)))?;
        let agent_config = files.config();
        write_json(&agent_config, &self.agent_config(&files))
            .map_err(cannot(format!("write {}", agent_config.display())))?;
        let launch = Launch {
            program: "config-agent",
            command: self.command.to_owned(),
            arguments: vec!["config-agent".into(), "-f".into(), agent_config.into()],
            environment: self.environment.to_owned(),
            log_file: files.log().to_owned(),
            pid_file: None,
        };
        let mut once = launch.clone();
        once.arguments.extend(["--synchronous", "--timeout", FIRST_PASS].map(Into::into));
        let process = once.spawn()?;
        let status = process.wait().await;
        if status.success() { Ok(launch) } else { Err(process.unexpected_end(status)) }
    }

    fn agent_config(&self, files: &AgentFiles) -> Value {
        let instance = &self.sapi.ids().instance;
        json!({
            "logLevel": "info",
            "pollInterval": POLL_INTERVAL,
            "sapi": {"url": self.sapi.server().url()},
            "instances": [instance],
            "localManifestDirs": [files.directory],
            "stateDir": files.directory.join("pending"),
            // In a zone, the agent finds these values itself.
            "autoMetadata": {
                "ZONENAME": instance,
                "SERVER_UUID": SERVER_UUID,
                "ADMIN_IP": self.addresses.metrics.ip(),
                "PRIMARY_IP": self.addresses.metrics.ip(),
            },
        })
    }
}
