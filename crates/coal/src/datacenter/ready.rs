// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ready-file: what tools read to find the services.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::write_json;
use crate::ufds::Account;
use crate::vmapi::Vm;

/// The content of the ready-file.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyFile {
    /// All datacenters.
    pub datacenters: Vec<ReadyDatacenter>,
}

/// One datacenter in the ready-file. What does not run is left out.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyDatacenter {
    /// Its name.
    pub name: String,
    /// URL of IMGAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imgapi: Option<String>,
    /// URL of IMGAPI's metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Host and port of Moray.
    pub moray: String,
    /// URL of UFDS.
    pub ufds: String,
    /// URL of Manta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manta: Option<String>,
    /// URL of the Workflow API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// URL of VMAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmapi: Option<String>,
    /// URL of CNAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnapi: Option<String>,
    /// URL of SAPI.
    pub sapi: String,
    /// URL of the control, which makes the others fail.
    pub control: String,
    /// IMGAPI's config.
    pub config_file: PathBuf,
    /// Where IMGAPI keeps files.
    pub local_dir: PathBuf,
    /// The account with the login `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_uuid: Option<String>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// The machines.
    pub vms: Vec<ReadyVm>,
}

/// A machine in the ready-file.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyVm {
    /// Its UUID.
    pub uuid: String,
    /// What people call it.
    pub alias: String,
    /// The account that it belongs to.
    pub owner_uuid: String,
    /// The image that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_uuid: Option<String>,
}

impl From<Vm> for ReadyVm {
    fn from(vm: Vm) -> Self {
        let image_uuid = vm.image().map(str::to_owned);
        Self { uuid: vm.uuid, alias: vm.alias, owner_uuid: vm.owner_uuid, image_uuid }
    }
}

impl ReadyFile {
    /// Writes the file, all or nothing: whoever sees it may rely on it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_json(path, self)
    }
}
