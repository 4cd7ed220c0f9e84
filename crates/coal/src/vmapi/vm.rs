// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A virtual machine as VMAPI describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a machine is virtualised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Brand {
    Joyent,
    JoyentMinimal,
    Lx,
    Kvm,
    Bhyve,
}

impl Brand {
    /// Whether the image is that of a disk.
    pub fn has_disks(self) -> bool {
        matches!(self, Self::Kvm | Self::Bhyve)
    }
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum VmState {
    Running,
    Stopped,
    Destroyed,
}

/// A disk of a machine with disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_uuid: Option<String>,
    /// Whether the machine boots from it.
    #[serde(default)]
    pub boot: bool,
    /// Its size in MiB.
    pub size: u32,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// Its UUID.
    pub uuid: String,
    /// What people call it.
    pub alias: String,
    /// The account that it belongs to.
    pub owner_uuid: String,
    /// How it is virtualised.
    pub brand: Brand,
    /// What it does.
    pub state: VmState,
    /// The server that it is on; a destroyed machine may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<String>,
    /// The image that it was made from; machines with disks tell it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_uuid: Option<String>,
    /// The Linux that an `lx` machine shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// Its disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Whether it is a Docker container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub docker: bool,
    /// Its memory in MiB.
    pub ram: u32,
    /// Its tags: texts, numbers and booleans.
    #[serde(default)]
    pub tags: BTreeMap<String, Value>,
    /// Its network interfaces.
    #[serde(default)]
    pub nics: Vec<Nic>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// The physical network.
    pub nic_tag: String,
    /// The address.
    pub ip: String,
}

impl Vm {
    /// The image that it was made from: that of the first disk that has one, or its own.
    pub fn image(&self) -> Option<&str> {
        let of_disk = || self.disks.iter().find_map(|disk| disk.image_uuid.as_deref());
        if self.brand.has_disks() { of_disk() } else { self.image_uuid.as_deref() }
    }
}
