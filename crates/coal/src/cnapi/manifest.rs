// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manifest of an image that is created from a machine.

use serde_json::{Map, Value, json};

use super::server::Server;
use crate::vmapi::{Brand, Vm};

/// Members that an image inherits from the image of its machine.
const INHERITED: [&str; 12] = [
    "type",
    "os",
    "requirements",
    "users",
    "billing_tags",
    "traits",
    "generate_passwords",
    "inherited_directories",
    "nic_driver",
    "disk_driver",
    "cpu_type",
    "image_size",
];

/// Completes a manifest that was given.
pub(super) fn complete(
    given: Map<String, Value>,
    origin: Option<&Map<String, Value>>,
    server: &Server,
    vm: &Vm,
) -> Map<String, Value> {
    let mut manifest = given;
    manifest.entry("v").or_insert(json!(2));
    for name in INHERITED {
        let inherited = origin.and_then(|origin| origin.get(name));
        let inherited = inherited.filter(|value| value.as_array().is_none_or(|list| !list.is_empty()));
        if let Some(value) = inherited
            && !manifest.contains_key(name)
        {
            manifest.insert(name.to_owned(), value.clone());
        }
    }
    let mut requirements =
        manifest.get("requirements").and_then(Value::as_object).cloned().unwrap_or_default();
    let brand = serde_json::to_value(vm.brand).unwrap_or_default();
    match vm.brand {
        Brand::Joyent | Brand::JoyentMinimal => {
            let version = server.sdc_version.as_deref().unwrap_or("7.0");
            requirements.entry("min_platform").or_insert(json!({version: server.current_platform}));
        }
        Brand::Lx | Brand::Kvm => {
            requirements.entry("brand").or_insert(brand);
        }
        Brand::Bhyve => {
            requirements.entry("brand").or_insert(brand);
            requirements.entry("bootrom").or_insert(json!("bios"));
        }
    }
    manifest.insert("requirements".to_owned(), requirements.into());
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmapi::Fleet;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn an_image_inherits_what_was_not_given() {
        let account = crate::ufds::Account { uuid: "a".to_owned(), login: "admin".to_owned() };
        let fleet = Fleet::built_in(&[account]);
        let vm = fleet.vm_called("smartos").unwrap();
        let server = fleet.server(vm.server_uuid.as_deref().unwrap()).unwrap();
        let origin = object(json!({"os": "smartos", "users": [], "type": "zone-dataset", "name": "base"}));
        let made = complete(object(json!({"name": "mine", "os": "linux"})), Some(&origin), &server, &vm);
        let platform = json!({"min_platform": {"7.0": "20260101T000000Z"}});
        let wanted =
            json!({"name": "mine", "os": "linux", "v": 2, "type": "zone-dataset", "requirements": platform});
        assert_eq!(Value::Object(made), wanted);
    }
}
