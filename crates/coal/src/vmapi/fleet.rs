// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The machines and servers of a datacenter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::vm::{Brand, Disk, Vm, VmState};
use crate::cnapi::Server;
use crate::ufds::Account;

/// Maximum number of machines, and of servers.
const MAX: usize = 1_000;

/// The machines of a datacenter and their servers. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Fleet(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    vms: BTreeMap<String, Vm>,
    servers: BTreeMap<String, Server>,
}

impl Fleet {
    /// Creates a few machines of these accounts, on three servers: one with a new platform, one that is too old for images, and
    /// one without a version. [`images`](Self::images) returns the images that they were created from.
    pub fn built_in(accounts: &[Account]) -> Self {
        let fleet = Self::default();
        let servers = [
            (NEW_SERVER, "headnode", Some("7.0"), "20260101T000000Z"),
            (OLD_SERVER, "old", Some("7.0"), "20130101T000000Z"),
            (SILENT_SERVER, "silent", None, "20260101T000000Z"),
        ];
        for (uuid, hostname, version, platform) in servers {
            fleet.put_server(Server {
                uuid: uuid.to_owned(),
                hostname: hostname.to_owned(),
                sdc_version: version.map(str::to_owned),
                current_platform: platform.to_owned(),
            });
        }
        for (at, spec) in VMS.iter().enumerate() {
            let Some(owner) = accounts.get(spec.owner).or_else(|| accounts.first()) else { break };
            fleet.put_vm(spec.vm(at, owner));
        }
        fleet
    }

    /// Returns the images that the machines were created from.
    pub fn images(&self) -> Vec<String> {
        let mut images: Vec<String> =
            self.tables().vms.values().filter_map(|vm| vm.image().map(str::to_owned)).collect();
        images.sort();
        images.dedup();
        images
    }

    /// Returns all machines, sorted by UUID.
    pub fn vms(&self) -> Vec<Vm> {
        self.tables().vms.values().cloned().collect()
    }

    /// Returns the machine with this UUID.
    pub fn vm(&self, uuid: &str) -> Option<Vm> {
        self.tables().vms.get(uuid).cloned()
    }

    /// Returns the machine with this alias.
    pub fn vm_called(&self, alias: &str) -> Option<Vm> {
        self.tables().vms.values().find(|vm| vm.alias == alias).cloned()
    }

    /// Adds or replaces a machine. Returns `false` if there are too many.
    pub fn put_vm(&self, vm: Vm) -> bool {
        let vms = &mut self.tables().vms;
        let fits = vms.len() < MAX || vms.contains_key(&vm.uuid);
        if fits {
            vms.insert(vm.uuid.clone(), vm);
        }
        fits
    }

    /// Sets the state of a machine. Does nothing if there is no such machine.
    pub fn set_state(&self, uuid: &str, state: VmState) {
        if let Some(vm) = self.tables().vms.get_mut(uuid) {
            vm.state = state;
        }
    }

    /// Returns all servers, sorted by UUID.
    pub fn servers(&self) -> Vec<Server> {
        self.tables().servers.values().cloned().collect()
    }

    /// Returns the server with this UUID.
    pub fn server(&self, uuid: &str) -> Option<Server> {
        self.tables().servers.get(uuid).cloned()
    }

    /// Adds or replaces a server. Returns `false` if there are too many.
    pub fn put_server(&self, server: Server) -> bool {
        let servers = &mut self.tables().servers;
        let fits = servers.len() < MAX || servers.contains_key(&server.uuid);
        if fits {
            servers.insert(server.uuid.clone(), server);
        }
        fits
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NEW_SERVER: &str = "44454c4c-0000-4000-8000-000000000001";
const OLD_SERVER: &str = "44454c4c-0000-4000-8000-000000000002";
const SILENT_SERVER: &str = "44454c4c-0000-4000-8000-000000000003";

const SMARTOS_IMAGE: &str = "aa000000-0000-4000-8000-000000000001";
const LX_IMAGE: &str = "aa000000-0000-4000-8000-000000000002";
const KVM_IMAGE: &str = "aa000000-0000-4000-8000-000000000003";
const BHYVE_IMAGE: &str = "aa000000-0000-4000-8000-000000000004";
const DOCKER_IMAGE: &str = "aa000000-0000-4000-8000-000000000005";

/// A built-in machine. `owner` is an index in the list of accounts.
struct Spec {
    alias: &'static str,
    owner: usize,
    brand: Brand,
    state: VmState,
    server: Option<&'static str>,
    image: Option<&'static str>,
    docker: bool,
}

const fn spec(alias: &'static str, owner: usize, brand: Brand, image: &'static str) -> Spec {
    let (state, server) = (VmState::Stopped, Some(NEW_SERVER));
    Spec { alias, owner, brand, state, server, image: Some(image), docker: false }
}

const VMS: [Spec; 10] = [
    spec("smartos", 1, Brand::Joyent, SMARTOS_IMAGE),
    spec("lx", 1, Brand::Lx, LX_IMAGE),
    spec("kvm", 2, Brand::Kvm, KVM_IMAGE),
    spec("bhyve", 2, Brand::Bhyve, BHYVE_IMAGE),
    Spec { state: VmState::Running, ..spec("running", 1, Brand::Joyent, SMARTOS_IMAGE) },
    Spec { docker: true, ..spec("docker", 1, Brand::Lx, DOCKER_IMAGE) },
    Spec { server: Some(OLD_SERVER), ..spec("on-old-server", 1, Brand::Joyent, SMARTOS_IMAGE) },
    Spec { server: Some(SILENT_SERVER), ..spec("on-silent-server", 1, Brand::Joyent, SMARTOS_IMAGE) },
    Spec { state: VmState::Destroyed, server: None, ..spec("destroyed", 1, Brand::Joyent, SMARTOS_IMAGE) },
    Spec { image: None, ..spec("without-image", 2, Brand::Bhyve, BHYVE_IMAGE) },
];

impl Spec {
    fn vm(&self, at: usize, owner: &Account) -> Vm {
        let image = self.image.map(str::to_owned);
        let boot = Disk { image_uuid: image.clone(), boot: true, size: 10_240 };
        let data = Disk { image_uuid: None, boot: false, size: 20_480 };
        let has_disks = self.brand.has_disks();
        Vm {
            uuid: format!("bb000000-0000-4000-8000-{:012}", at + 1),
            alias: self.alias.to_owned(),
            owner_uuid: owner.uuid.clone(),
            brand: self.brand,
            state: self.state,
            server_uuid: self.server.map(str::to_owned),
            image_uuid: image.filter(|_| !has_disks),
            kernel_version: (self.brand == Brand::Lx).then(|| "4.10".to_owned()),
            disks: if has_disks { vec![boot, data] } else { Vec::new() },
            docker: self.docker,
            ram: 1_024,
            tags: BTreeMap::new(),
            nics: Vec::new(),
        }
    }
}
