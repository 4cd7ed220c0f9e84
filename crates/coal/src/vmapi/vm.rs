// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A virtual machine as VMAPI describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The virtualization type of a machine.
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
    /// Returns whether the machine is created from a disk image.
    pub fn has_disks(self) -> bool {
        matches!(self, Self::Kvm | Self::Bhyve)
    }
}

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum VmState {
    Running,
    Stopped,
    Destroyed,
}

/// A disk of a machine that has disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image that the disk was created from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_uuid: Option<String>,
    /// Whether the machine boots from this disk.
    #[serde(default)]
    pub boot: bool,
    /// Size of the disk in MiB.
    pub size: u32,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// UUID of the machine.
    pub uuid: String,
    /// Name for people.
    pub alias: String,
    /// UUID of the account that owns the machine.
    pub owner_uuid: String,
    /// Virtualization type.
    pub brand: Brand,
    /// State of the machine.
    pub state: VmState,
    /// UUID of the machine's server. A destroyed machine may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<String>,
    /// The image that the machine was created from. A machine with disks has it in a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_uuid: Option<String>,
    /// The Linux version that an `lx` machine reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// Disks of the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Whether the machine is a Docker container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub docker: bool,
    /// Memory of the machine in MiB.
    pub ram: u32,
    /// Tags of the machine: texts, numbers and booleans.
    #[serde(default)]
    pub tags: BTreeMap<String, Value>,
    /// Network interfaces of the machine.
    #[serde(default)]
    pub nics: Vec<Nic>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Name of the physical network.
    pub nic_tag: String,
    /// IP address.
    pub ip: String,
}

impl Vm {
    /// Returns the image that the machine was created from: with disks, the image of the first disk that has one.
    pub fn image(&self) -> Option<&str> {
        let of_disk = || self.disks.iter().find_map(|disk| disk.image_uuid.as_deref());
        if self.brand.has_disks() { of_disk() } else { self.image_uuid.as_deref() }
    }
}
