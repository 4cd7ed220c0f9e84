// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Assembles and starts a datacenter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tempfile::TempDir;
use uuid::Uuid;

use super::agent::{Agent, Installation};
use super::child::Launch;
use super::config::{ConfigInput, write_json};
use super::error::{DatacenterError, cannot};
use super::manta::{Manta, MantaMode};
use super::ports::{Addresses, Ports};
use super::sapi::{Content, Sapi};
use super::services::Services;
use super::{Datacenter, Imgapi, health, images};
use crate::control::Control;
use crate::moray::{Location, MorayServer};
use crate::ufds::{Directory, Dn, LiveDirectory, UfdsOptions, UfdsServer};

/// The name that UFDS is searched with.
const UFDS_ROOT_DN: &str = "cn=root";

/// Settings of a datacenter to be started.
#[derive(Debug, Clone, Default)]
pub struct DatacenterBuilder {
    name: Option<String>,
    data: Option<PathBuf>,
    ports: Ports,
    manta: MantaMode,
    without_services: bool,
    images: bool,
    peers: BTreeMap<String, String>,
    imgapi: Vec<PathBuf>,
    ufds_ldif: Option<PathBuf>,
    config_from_sapi: bool,
    imgapi_config: Map<String, Value>,
    imgapi_environment: Vec<(String, String)>,
}

impl DatacenterBuilder {
    /// Sets the name. Default: `coal`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the directory for all data, which is created if it does not exist. By default a temporary directory is used, and
    /// removed at the end.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data = Some(path.into());
        self
    }

    /// Moves the data to a subdirectory of the chosen directory.
    pub(super) fn below_data_dir(mut self, name: &str) -> Self {
        self.data = self.data.map(|data| data.join(name));
        self
    }

    /// Sets how ports are chosen.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Sets whether there is a Manta. By default there is none.
    #[must_use]
    pub fn manta(mut self, mode: MantaMode) -> Self {
        self.manta = mode;
        self
    }

    /// Sets whether there are a Workflow API, a VMAPI and a CNAPI. By default there are.
    #[must_use]
    pub fn services(mut self, wanted: bool) -> Self {
        self.without_services = !wanted;
        self
    }

    /// Adds another datacenter and the URL of its `imgapi`.
    #[must_use]
    pub fn peer(mut self, name: impl Into<String>, imgapi_url: impl Into<String>) -> Self {
        self.peers.insert(name.into(), imgapi_url.into());
        self
    }

    /// Sets the `imgapi` program to run.
    #[must_use]
    pub fn imgapi(mut self, program: impl Into<PathBuf>) -> Self {
        self.imgapi = vec![program.into()];
        self
    }

    /// Sets the `imgapi` command line, if other words precede the program.
    #[must_use]
    pub fn imgapi_command(mut self, words: Vec<PathBuf>) -> Self {
        self.imgapi = words;
        self
    }

    /// Sets a key of `imgapi`'s config, or members of a key that is an object. If the config is rendered from SAPI's metadata,
    /// the key must not be in the template.
    #[must_use]
    pub fn imgapi_config(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.imgapi_config.insert(key.into(), value.into());
        self
    }

    /// Sets whether `imgapi config-agent` renders the config from SAPI's metadata, for as long as `imgapi` runs. By default the
    /// config is written once. Without `imgapi` it is always written.
    #[must_use]
    pub fn config_from_sapi(mut self, wanted: bool) -> Self {
        self.config_from_sapi = wanted;
        self
    }

    /// Sets an environment variable for `imgapi`.
    #[must_use]
    pub fn imgapi_environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.imgapi_environment.push((name.into(), value.into()));
        self
    }

    /// Reads the entries of UFDS from this LDIF file, instead of using the built-in ones.
    #[must_use]
    pub fn ufds_ldif(mut self, path: impl Into<PathBuf>) -> Self {
        self.ufds_ldif = Some(path.into());
        self
    }

    /// Sets whether the images of the machines are put into `imgapi`. By default they are not.
    #[must_use]
    pub fn images(mut self, wanted: bool) -> Self {
        self.images = wanted;
        self
    }

    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    ///
    /// Fails if a file, a directory, a port or the LDIF file is unusable, or if `imgapi` does not start.
    pub async fn start(self) -> Result<Datacenter, DatacenterError> {
        let addresses = self.ports.choose().await?;
        self.start_at(addresses).await
    }

    /// Starts everything on these addresses, as [`start`](Self::start) does.
    pub(super) async fn start_at(self, addresses: Addresses) -> Result<Datacenter, DatacenterError> {
        let name = self.name.clone().unwrap_or_else(|| "coal".to_owned());
        let data = DataDir::open(self.data.as_deref())?;
        let kept = data.path().join("ufds-keys.json");
        let directory = LiveDirectory::kept_in(self.directory()?, kept.clone())
            .map_err(cannot(format!("use {}", kept.display())))?;
        let accounts = directory.now().accounts();
        let manta = Manta::start(self.manta, &data, addresses, &directory).await?;
        let root_password = Uuid::new_v4().to_string();
        let (moray, ufds) = backends(&data, addresses, directory, &root_password).await?;
        let services = match self.without_services {
            true => None,
            false => Some(Arc::new(Services::start(&data, addresses, &accounts).await?)),
        };
        let admin = accounts.iter().find(|account| account.login == "admin");
        let content = Content {
            datacenter: &name,
            admin,
            imgapi: addresses.imgapi,
            moray: &moray,
            ufds: &ufds,
            ufds_root_dn: UFDS_ROOT_DN,
            ufds_root_password: &root_password,
            manta: manta.as_ref(),
            services: services.as_deref(),
            peers: &self.peers,
        };
        let sapi = Sapi::start(&data, addresses.sapi, &content).await?;
        let manta_server = manta.as_ref().map(Manta::server);
        let control = Control::bind(addresses.control, sapi.server(), manta_server, services.as_ref())
            .await
            .map_err(cannot(format!("start the control on {}", addresses.control)))?;
        let local_base_dir = ("localBaseDir".to_owned(), data.local_dir().display().to_string().into());
        let launch_agent = if self.config_from_sapi && !self.imgapi.is_empty() {
            // The scrubber is off, as in a written config: it must not read the files that tests damage.
            let mut settings = Map::from_iter([("scrubRate".to_owned(), Value::from(0)), local_base_dir]);
            settings.extend(self.imgapi_config.clone());
            let installation = Installation {
                command: &self.imgapi,
                environment: &self.imgapi_environment,
                data: &data,
                addresses,
                moray: &moray,
                sapi: &sapi,
                settings: &settings,
            };
            Some(installation.render().await?)
        } else {
            let input = ConfigInput {
                content: &content,
                metrics: addresses.metrics,
                instance_uuid: &sapi.ids().instance,
                sapi: sapi.server().address(),
            };
            let config_file = data.config_file();
            let mut settings = Map::from_iter([local_base_dir]);
            settings.extend(self.imgapi_config.clone());
            let config = input.with(&settings);
            write_json(&config_file, &config).map_err(cannot(format!("write {}", config_file.display())))?;
            None
        };
        let imgapi = self.start_imgapi(&data, addresses).await?;
        if let (true, Some(imgapi), Some(services), Some(admin)) = (self.images, &imgapi, &services, admin) {
            images::put(imgapi.address, services.fleet(), &admin.uuid).await?;
            health::wait_for_backends(imgapi.address, &imgapi.process).await?;
        }
        let agent = match launch_agent {
            Some(launch) => Some(Agent { process: launch.spawn()?, launch }),
            None => None,
        };
        let config_file = data.config_file();
        Ok(Datacenter {
            name,
            moray,
            ufds,
            manta,
            services,
            sapi,
            control,
            accounts,
            imgapi,
            agent,
            config_file,
            data,
        })
    }

    fn directory(&self) -> Result<Directory, DatacenterError> {
        let Some(path) = &self.ufds_ldif else {
            return Directory::built_in().map_err(DatacenterError::BuiltIn);
        };
        let text = std::fs::read_to_string(path).map_err(cannot(format!("read {}", path.display())))?;
        Directory::from_ldif(&text)
            .map_err(|source| DatacenterError::Directory { path: path.clone(), source })
    }

    async fn start_imgapi(
        &self,
        data: &DataDir,
        addresses: Addresses,
    ) -> Result<Option<Imgapi>, DatacenterError> {
        if self.imgapi.is_empty() {
            return Ok(None);
        }
        let launch = Launch {
            program: "imgapi",
            command: self.imgapi.clone(),
            arguments: vec!["serve".into(), "-f".into(), data.config_file().into()],
            environment: self.imgapi_environment.clone(),
            log_file: data.log_file(),
            pid_file: Some(data.pid_file()),
        };
        let process = launch.spawn()?;
        health::wait_for_images(addresses.imgapi, &process).await?;
        Ok(Some(Imgapi { launch, address: addresses.imgapi, metrics: addresses.metrics, process }))
    }
}

async fn backends(
    data: &DataDir,
    addresses: Addresses,
    directory: LiveDirectory,
    root_password: &str,
) -> Result<(MorayServer, UfdsServer), DatacenterError> {
    let moray = MorayServer::bind(addresses.moray, Location::File(data.path().join("moray.sqlite")))
        .await
        .map_err(cannot(format!("start Moray on {}", addresses.moray)))?;
    let root_dn: Dn = UFDS_ROOT_DN.parse().map_err(std::io::Error::other).map_err(cannot("name the root"))?;
    let options = UfdsOptions { root_dn, root_password: root_password.to_owned(), directory };
    let ufds = UfdsServer::bind(addresses.ufds, options)
        .await
        .map_err(cannot(format!("start UFDS on {}", addresses.ufds)))?;
    Ok((moray, ufds))
}

/// The directory of all data.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    // Removes the directory when dropped.
    _temporary: Option<TempDir>,
}

impl DataDir {
    fn open(path: Option<&Path>) -> Result<Self, DatacenterError> {
        let (path, temporary) = match path {
            Some(path) => (std::path::absolute(path).map_err(cannot("find the current directory"))?, None),
            None => {
                let temporary =
                    TempDir::with_prefix("coal-").map_err(cannot("make a temporary directory"))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let data = Self { path, _temporary: temporary };
        for directory in [data.path.clone(), data.local_dir(), data.log_dir()] {
            std::fs::create_dir_all(&directory).map_err(cannot(format!("create {}", directory.display())))?;
        }
        Ok(data)
    }

    /// Returns the path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `localBaseDir`.
    pub(super) fn local_dir(&self) -> PathBuf {
        self.path.join("imgapi")
    }

    /// Returns the directory of the accounts' private keys.
    pub(super) fn keys_dir(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// Returns the config file of `imgapi`.
    pub(super) fn config_file(&self) -> PathBuf {
        self.path.join("imgapi.config.json")
    }

    /// Returns the file with the process id of `imgapi`, which exists while it runs.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.path.join("imgapi.pid")
    }

    /// Returns the directory of the logs.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Returns the log of `imgapi`.
    pub(super) fn log_file(&self) -> PathBuf {
        self.log_dir().join("imgapi.log")
    }
}
