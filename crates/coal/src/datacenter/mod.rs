// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A datacenter: the backends, a config, and the `imgapi` process that uses them.

mod agent;
mod builder;
mod child;
mod cloud;
mod config;
mod error;
mod health;
mod images;
mod keys;
mod manta;
mod ports;
mod ready;
mod sapi;
mod services;
mod templates;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

pub use builder::DatacenterBuilder;
pub use cloud::{Cloud, CloudBuilder};
pub use error::DatacenterError;
pub use manta::MantaMode;
pub use ports::{Ports, free_port};
pub use ready::{ReadyDatacenter, ReadyFile, ReadyVm};
pub use services::Services;

use agent::{Agent, AgentFiles};
use child::{Launch, Process};

use crate::control::Control;
use crate::manta::MantaServer;
use crate::moray::MorayServer;
use crate::sapi::SapiServer;
use crate::ufds::{Account, UfdsServer};

/// A running datacenter. Dropping it ends everything at once; [`stop`](Self::stop) lets `imgapi` finish first.
#[derive(Debug)]
pub struct Datacenter {
    name: String,
    moray: MorayServer,
    ufds: UfdsServer,
    manta: Option<manta::Manta>,
    services: Option<Arc<Services>>,
    sapi: sapi::Sapi,
    control: Control,
    accounts: Vec<Account>,
    imgapi: Option<Imgapi>,
    agent: Option<Agent>,
    config_file: PathBuf,
    // Keeps a temporary data directory until everything else has ended.
    data: builder::DataDir,
}

/// The `imgapi` process, and how to start it again.
#[derive(Debug)]
struct Imgapi {
    launch: Launch,
    address: SocketAddr,
    metrics: SocketAddr,
    process: Process,
}

impl Datacenter {
    /// Creates a builder. By default the datacenter has no `imgapi`, free ports, and a temporary directory.
    pub fn builder() -> DatacenterBuilder {
        DatacenterBuilder::default()
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the Moray server.
    pub fn moray(&self) -> &MorayServer {
        &self.moray
    }

    /// Returns the UFDS server.
    pub fn ufds(&self) -> &UfdsServer {
        &self.ufds
    }

    /// Returns the Manta server; `None` if there is none.
    pub fn manta(&self) -> Option<&MantaServer> {
        self.manta.as_ref().map(|manta| &**manta.server())
    }

    /// Returns the Workflow API, VMAPI and CNAPI; `None` if there are none.
    pub fn services(&self) -> Option<&Services> {
        self.services.as_deref()
    }

    /// Returns the SAPI server. [`config_file`](Self::config_file) corresponds to its metadata at the start, and also after
    /// changes if it is [rendered](DatacenterBuilder::config_from_sapi).
    pub fn sapi(&self) -> &SapiServer {
        self.sapi.server()
    }

    /// Returns the UUID of the application `sdc` in SAPI.
    pub fn sdc_application(&self) -> &str {
        &self.sapi.ids().application
    }

    /// Returns the UUID of IMGAPI's service in SAPI.
    pub fn imgapi_service(&self) -> &str {
        &self.sapi.ids().service
    }

    /// Returns the UUID of IMGAPI's instance in SAPI. In a real datacenter it is the UUID of the zone.
    pub fn imgapi_instance(&self) -> &str {
        &self.sapi.ids().instance
    }

    /// Returns the URL, `http://host:port`, of the control, which injects faults into the services.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control.address())
    }

    /// Returns the OpenSSH file of the private key with which the account signs requests to Manta. Its public key is in UFDS.
    /// Without a Manta, the file does not exist.
    pub fn key_file(&self, login: &str) -> PathBuf {
        keys::file(&self.data.keys_dir(), login)
    }

    /// Returns the accounts in UFDS.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Returns the account with this login, if there is one.
    pub fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.login == login)
    }

    /// Returns the config file of `imgapi`.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Returns `imgapi`'s `localBaseDir`, where it stores files.
    pub fn local_dir(&self) -> PathBuf {
        self.data.local_dir()
    }

    /// Returns the file for `imgapi`'s standard output and error.
    pub fn log_file(&self) -> PathBuf {
        self.data.log_file()
    }

    /// Returns the directory of all data of the datacenter.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Returns the address that `imgapi` listens on; `None` without `imgapi`.
    pub fn imgapi_address(&self) -> Option<SocketAddr> {
        self.imgapi.as_ref().map(|imgapi| imgapi.address)
    }

    /// Returns the URL of `imgapi`, `http://host:port`.
    pub fn imgapi_url(&self) -> Option<String> {
        self.imgapi_address().map(|address| format!("http://{address}"))
    }

    /// Returns the URL of `imgapi`'s metrics, `http://host:port`.
    pub fn metrics_url(&self) -> Option<String> {
        self.imgapi.as_ref().map(|imgapi| format!("http://{}", imgapi.metrics))
    }

    /// Returns the process id of `imgapi`; `None` if it does not run.
    pub fn imgapi_pid(&self) -> Option<u32> {
        self.imgapi.as_ref().filter(|imgapi| imgapi.process.exited().is_none()).map(|i| i.process.pid())
    }

    /// Waits until `imgapi` has ended; for ever if there is none.
    pub async fn imgapi_exit(&self) -> ExitStatus {
        match &self.imgapi {
            Some(imgapi) => imgapi.process.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the file for the config-agent's standard output and error; `None` without an agent.
    pub fn agent_log_file(&self) -> Option<PathBuf> {
        self.agent.as_ref().map(|_| AgentFiles::new(&self.data).log().to_owned())
    }

    /// Returns the process id of the config-agent; `None` if it does not run.
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.as_ref().filter(|agent| agent.process.exited().is_none()).map(|agent| agent.process.pid())
    }

    /// Kills the config-agent with SIGKILL and waits for its end. `imgapi` continues with its current config.
    pub async fn kill_agent(&self) {
        if let Some(agent) = &self.agent {
            agent.process.kill().await;
        }
    }

    /// Stops the config-agent if it runs, and starts it again.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be started.
    pub async fn restart_agent(&mut self) -> Result<(), DatacenterError> {
        if let Some(agent) = &mut self.agent {
            agent.process.terminate().await;
            agent.process = agent.launch.spawn()?;
        }
        Ok(())
    }

    /// Waits until `imgapi` or its config-agent has ended; for ever if there is none. Returns the error for an unexpected end,
    /// with the end of the log.
    pub async fn unexpected_end(&self) -> DatacenterError {
        let end = async |process: Option<&Process>| match process {
            Some(process) => process.unexpected_end(process.wait().await),
            None => std::future::pending().await,
        };
        let imgapi = self.imgapi.as_ref().map(|imgapi| &imgapi.process);
        let agent = self.agent.as_ref().map(|agent| &agent.process);
        tokio::select! {
            error = end(imgapi) => error,
            error = end(agent) => error,
        }
    }

    /// Kills `imgapi` with SIGKILL and waits for its end.
    pub async fn kill_imgapi(&self) {
        if let Some(imgapi) = &self.imgapi {
            imgapi.process.kill().await;
        }
    }

    /// Stops `imgapi` with SIGTERM and waits for its end. Kills it if that takes too long. Returns the exit status.
    pub async fn stop_imgapi(&self) -> Option<ExitStatus> {
        match &self.imgapi {
            Some(imgapi) => Some(imgapi.process.terminate().await),
            None => None,
        }
    }

    /// Stops `imgapi` if it runs, starts it again, and waits until it answers `/ping`. The backends may be unavailable.
    ///
    /// # Errors
    ///
    /// Fails if `imgapi` cannot be started, ends, or does not answer in time.
    pub async fn restart_imgapi(&mut self) -> Result<(), DatacenterError> {
        self.stop_imgapi().await;
        if let Some(imgapi) = &mut self.imgapi {
            imgapi.process = imgapi.launch.spawn()?;
            health::wait_for_ping(imgapi.address, &imgapi.process).await?;
        }
        Ok(())
    }

    /// Stops the config-agent and `imgapi`, then the backends.
    pub async fn stop(self) {
        if let Some(agent) = &self.agent {
            agent.process.terminate().await;
        }
        self.stop_imgapi().await;
        self.control.stop().await;
        self.sapi().stop().await;
        if let Some(services) = &self.services {
            services.stop().await;
        }
        if let Some(manta) = &self.manta {
            manta.stop().await;
        }
        self.ufds.stop().await;
        self.moray.stop().await;
    }

    /// Returns the part of the ready-file about this datacenter.
    pub fn ready(&self) -> ReadyDatacenter {
        ReadyDatacenter {
            name: self.name.clone(),
            imgapi: self.imgapi_url(),
            metrics: self.metrics_url(),
            moray: self.moray.address().to_string(),
            ufds: format!("ldaps://{}", self.ufds.address()),
            manta: self.manta().map(MantaServer::url),
            workflow: self.services().map(|services| services.workflow().url()),
            vmapi: self.services().map(|services| services.vmapi().url()),
            cnapi: self.services().map(|services| services.cnapi().url()),
            sapi: self.sapi().url(),
            control: self.control_url(),
            config_file: self.config_file.clone(),
            local_dir: self.local_dir(),
            admin_uuid: self.account("admin").map(|admin| admin.uuid.clone()),
            accounts: self.accounts.clone(),
            vms: self
                .services()
                .map(|s| s.fleet().vms().into_iter().map(Into::into).collect())
                .unwrap_or_default(),
        }
    }
}
