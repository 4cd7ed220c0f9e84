// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ready-file, which tells tools where the services are.

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

/// A datacenter in the ready-file. Services that do not run are left out.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyDatacenter {
    /// Name of the datacenter.
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
    /// URL of the control, which injects faults into the other services.
    pub control: String,
    /// Path of IMGAPI's config.
    pub config_file: PathBuf,
    /// Directory in which IMGAPI stores files.
    pub local_dir: PathBuf,
    /// UUID of the account with the login `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_uuid: Option<String>,
    /// All accounts in UFDS.
    pub accounts: Vec<Account>,
    /// All machines of VMAPI.
    pub vms: Vec<ReadyVm>,
}

/// A machine in the ready-file.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyVm {
    /// UUID of the machine.
    pub uuid: String,
    /// Name for people.
    pub alias: String,
    /// UUID of the account that owns the machine.
    pub owner_uuid: String,
    /// UUID of the image that the machine was created from.
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
    /// Writes the file completely or not at all, so that a reader never sees a part of it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_json(path, self)
    }
}
