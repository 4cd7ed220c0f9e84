// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Clients of VMAPI and CNAPI, for what images of VMs need to know of a VM and its server.

use std::sync::Arc;

use serde_json::Value;

use super::JobsError;
use super::service::{Call, Service};
use crate::config::{Config, Platform};
use crate::manifest::Uuid;
use crate::telemetry::Metrics;

/// The SDC version of servers that do not report one. It is older than the first version that is reported.
const UNTOLD_VERSION: &str = "6.5";

/// Brands whose VMs have disks that are made from images.
const WITH_DISKS: [&str; 2] = ["kvm", "bhyve"];

/// The clients of VMAPI and CNAPI.
#[derive(Debug)]
pub struct Machines {
    vmapi: Option<Service>,
    cnapi: Option<Service>,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// The server of the VM; `None` if it was never placed, or is destroyed.
    pub server: Option<Uuid>,
    /// Whether it is a Docker container.
    pub docker: bool,
    /// The Linux kernel version that the VM reports; only VMs of brand `lx` have one.
    pub kernel_version: Option<String>,
    /// The image that the VM was made from, as far as VMAPI knows.
    pub image: Option<Uuid>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The server's platform; `None` if its version cannot be parsed.
    pub platform: Option<Platform>,
}

impl Machines {
    /// Makes the clients of the configured `vmapi` and `cnapi`, either of which may be absent.
    pub fn new(config: &Config, metrics: &Arc<Metrics>) -> Machines {
        let service = |name, url: &Option<url::Url>| {
            url.clone().map(|url| Service::new(name, url, &config.server_name, metrics))
        };
        Machines { vmapi: service("vmapi", &config.jobs.vmapi), cnapi: service("cnapi", &config.jobs.cnapi) }
    }

    /// Returns whether VMAPI and CNAPI are configured.
    pub fn names(&self) -> [bool; 2] {
        [&self.vmapi, &self.cnapi].map(Option::is_some)
    }

    /// Checks that VMAPI works now, and returns the name and version that it reports.
    ///
    /// # Errors
    /// `Absent`, or why it does not work.
    pub async fn probe_vmapi(&self) -> Result<Option<String>, JobsError> {
        probe(self.vmapi.as_ref()).await
    }

    /// Checks that CNAPI works now, and returns the name and version that it reports.
    ///
    /// # Errors
    /// `Absent`, or why it does not work.
    pub async fn probe_cnapi(&self) -> Result<Option<String>, JobsError> {
        probe(self.cnapi.as_ref()).await
    }

    /// Makes a client of VMAPI only.
    pub fn of_vmapi(vmapi: url::Url, user_agent: &str, metrics: &Arc<Metrics>) -> Machines {
        Machines { vmapi: Some(Service::new("vmapi", vmapi, user_agent, metrics)), cnapi: None }
    }

    /// Returns, for each running VM of an account with this tag, its first address in the network `nic_tag`, if it has one.
    ///
    /// # Errors
    /// Any error of VMAPI.
    pub async fn addresses(
        &self,
        owner: Uuid,
        tag: (&str, &str),
        nic_tag: &str,
    ) -> Result<Vec<Option<String>>, JobsError> {
        let vmapi = self.vmapi.as_ref().ok_or(JobsError::Absent)?;
        let (owner, name) = (owner.to_string(), format!("tag.{}", tag.0));
        let query = [("owner_uuid", owner.as_str()), (&name, tag.1), ("state", "running")];
        let answer = vmapi.call(Call { query: &query, ..Call::get("list_vms", "/vms") }).await?;
        let Value::Array(vms) = answer else {
            return Err(JobsError::Unusable("it is not a list of VMs".into()));
        };
        Ok(vms.iter().map(|vm| address(vm, nic_tag).map(str::to_owned)).collect())
    }

    /// Returns the VM. With an `owner`, only a VM of this account is found.
    ///
    /// # Errors
    /// `Refused` with 404 if there is no such VM.
    pub async fn vm(&self, vm: Uuid, owner: Option<Uuid>, request_id: &str) -> Result<Vm, JobsError> {
        let vmapi = self.vmapi.as_ref().ok_or(JobsError::Absent)?;
        let owner = owner.map(|owner| owner.to_string());
        let query: Vec<_> = owner.iter().map(|owner| ("owner_uuid", owner.as_str())).collect();
        let call = Call { query: &query, request_id, ..Call::get("get_vm", format!("/vms/{vm}")) };
        let answer = vmapi.call(call).await?;
        match uuid(&answer, "uuid") == Some(vm) {
            true => Ok(Vm::read(&answer)),
            false => Err(JobsError::Unusable("it is not the VM that was asked for".into())),
        }
    }

    /// Returns the server.
    ///
    /// # Errors
    /// `Refused` with 404 if there is no such server.
    pub async fn server(&self, server: Uuid, request_id: &str) -> Result<Server, JobsError> {
        let cnapi = self.cnapi.as_ref().ok_or(JobsError::Absent)?;
        let call = Call { request_id, ..Call::get("get_server", format!("/servers/{server}")) };
        Ok(Server::read(&cnapi.call(call).await?))
    }
}

async fn probe(service: Option<&Service>) -> Result<Option<String>, JobsError> {
    let service = service.ok_or(JobsError::Absent)?;
    service.call(Call::get("ping", "/ping")).await?;
    Ok(service.version())
}

impl Vm {
    fn read(vm: &Value) -> Vm {
        let brand = text(vm, "brand").unwrap_or_default();
        let of_disks = || vm.get("disks")?.as_array()?.iter().find_map(|disk| uuid(disk, "image_uuid"));
        let image = if WITH_DISKS.contains(&brand) { of_disks() } else { None };
        Vm {
            server: uuid(vm, "server_uuid"),
            docker: vm.get("docker").and_then(Value::as_bool).unwrap_or_default(),
            kernel_version: text(vm, "kernel_version").filter(|_| brand == "lx").map(str::to_owned),
            image: image.or_else(|| uuid(vm, "image_uuid")),
        }
    }
}

impl Server {
    fn read(server: &Value) -> Server {
        let version = server.get("sysinfo").and_then(|sysinfo| text(sysinfo, "SDC Version"));
        let stamp = text(server, "current_platform").unwrap_or_default();
        Server { platform: Platform::new(version.unwrap_or(UNTOLD_VERSION), stamp) }
    }
}

fn address<'a>(vm: &'a Value, nic_tag: &str) -> Option<&'a str> {
    let mut nics = vm.get("nics")?.as_array()?.iter();
    nics.find(|nic| text(nic, "nic_tag") == Some(nic_tag)).and_then(|nic| text(nic, "ip"))
}

/// Returns a member if it is a string that is not empty.
fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn uuid(object: &Value, name: &str) -> Option<Uuid> {
    object.get(name)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
    const B: &str = "da58c25a-2547-11e2-9b8d-136daa650e8a";

    #[test]
    fn the_image_of_a_vm_with_disks_is_that_of_the_first_disk_that_has_one() {
        let image = |vm: Value| Vm::read(&vm).image.map(|image| image.to_string());
        let disks = json!([{"size": 1}, {"image_uuid": A}, {"image_uuid": "x"}]);
        for brand in ["kvm", "bhyve"] {
            let vm = json!({"brand": brand, "image_uuid": B, "disks": disks});
            assert_eq!(image(vm).as_deref(), Some(A));
            assert_eq!(image(json!({"brand": brand, "image_uuid": B})).as_deref(), Some(B));
        }
        assert_eq!(image(json!({"brand": "joyent", "image_uuid": B, "disks": disks})).as_deref(), Some(B));
        assert_eq!(image(json!({"brand": "kvm", "disks": []})), None);
    }

    #[test]
    fn only_an_lx_vm_has_a_kernel_of_its_own() {
        let kernel =
            |brand: &str| Vm::read(&json!({"brand": brand, "kernel_version": "4.3.0"})).kernel_version;
        assert_eq!((kernel("lx").as_deref(), kernel("joyent")), (Some("4.3.0"), None));
    }

    #[test]
    fn a_server_that_does_not_tell_its_version_is_an_old_one() {
        let platform = |server: Value| Server::read(&server).platform.unwrap();
        let told = json!({"sysinfo": {"SDC Version": "7.0"}, "current_platform": "20260101T000000Z"});
        assert_eq!(platform(told).describe(), "7.0 20260101T000000Z");
        assert_eq!(
            platform(json!({"current_platform": "20260101T000000Z"})).describe(),
            "6.5 20260101T000000Z"
        );
    }
}
