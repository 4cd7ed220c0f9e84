// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The services that jobs need: the Workflow API, VMAPI and CNAPI.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::builder::DataDir;
use super::error::{DatacenterError, cannot};
use super::ports::Addresses;
use crate::cnapi::CnapiServer;
use crate::rest::RestServer;
use crate::ufds::Account;
use crate::vmapi::{self, Fleet};
use crate::workflow::{WorkflowOptions, WorkflowServer};

/// A running Workflow API, VMAPI and CNAPI.
#[derive(Debug)]
pub struct Services {
    workflow: WorkflowServer,
    vmapi: RestServer,
    cnapi: CnapiServer,
    fleet: Fleet,
}

impl Services {
    /// Starts the services, with machines of these accounts.
    pub(super) async fn start(
        data: &DataDir,
        addresses: Addresses,
        accounts: &[Account],
    ) -> Result<Self, DatacenterError> {
        let fleet = Fleet::built_in(accounts);
        let failed = |name: &str, address: SocketAddr| cannot(format!("start {name} on {address}"));
        let vmapi = vmapi::serve(addresses.vmapi, fleet.clone()).await;
        let vmapi = vmapi.map_err(failed("VMAPI", addresses.vmapi))?;
        let cnapi = CnapiServer::bind(addresses.cnapi, fleet.clone()).await;
        let cnapi = cnapi.map_err(failed("CNAPI", addresses.cnapi))?;
        let variables = [
            ("imgapiUrl", format!("http://{}", addresses.imgapi)),
            ("vmapiUrl", vmapi.url()),
            ("cnapiUrl", cnapi.url()),
        ];
        let options = WorkflowOptions {
            file: Some(data.path().join("workflow.sqlite")),
            variables: variables.map(|(name, url)| (name.to_owned(), url)).into(),
        };
        let workflow = WorkflowServer::bind(addresses.workflow, options).await;
        let workflow = workflow.map_err(failed("the Workflow API", addresses.workflow))?;
        Ok(Self { workflow, vmapi, cnapi, fleet })
    }

    /// Returns the Workflow API with its runner.
    pub fn workflow(&self) -> &WorkflowServer {
        &self.workflow
    }

    /// Returns VMAPI.
    pub fn vmapi(&self) -> &RestServer {
        &self.vmapi
    }

    /// Returns CNAPI.
    pub fn cnapi(&self) -> &CnapiServer {
        &self.cnapi
    }

    /// Returns the machines and servers, which can be changed.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns the keys of IMGAPI's config for these services.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let workflow = json!({
            "url": self.workflow.url(),
            "workflows": ["create-from-vm", "import-remote-image"],
            "forceMd5Check": true,
        });
        let settings = [
            ("wfapi", workflow),
            ("vmapi", json!({"url": self.vmapi.url()})),
            ("cnapi", json!({"url": self.cnapi.url()})),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// Stops all services.
    pub(super) async fn stop(&self) {
        self.workflow.stop().await;
        self.cnapi.stop().await;
        self.vmapi.stop().await;
    }
}
