// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `GetConfig`: the manifests and metadata that a config-agent renders, and their `ETag`.

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::model::{Family, text};
use super::store::Tables;
use super::{Kind, Object};
use crate::moray::js;
use crate::rest::{RestError, RestResult};

/// UUID of the server for instances that do not name one.
pub(crate) const SERVER_UUID: &str = "44454c4c-0000-4000-8000-000000000001";
/// Brand of the zones that SAPI creates.
const BRAND: &str = "joyent-minimal";
/// Metadata that are given to a zone when it is created.
const BOOT_METADATA: [&str; 6] = ["SAPI_URL", "sapi_url", "SAPI-URL", "sapi-url", "user-script", "assets-ip"];

/// Returns the manifests and metadata of an instance.
pub(super) fn config(tables: &Tables<'_>, instance: &str) -> RestResult<Value> {
    let family = Family::of(tables, instance)?;
    let mut manifests = Vec::new();
    for uuid in family.merged("manifests").values() {
        let uuid = uuid.as_str().unwrap_or_default();
        let missing = || RestError::internal(format!("no such manifest: {uuid}"));
        manifests.push(tables.find(Kind::Manifest, uuid)?.ok_or_else(missing)?);
    }
    let params = family.merged("params");
    let server = params.get("server_uuid").cloned().unwrap_or_else(|| SERVER_UUID.into());
    let mut metadata = family.merged("metadata");
    metadata.insert("SERVER_UUID".to_owned(), server);
    for name in ["ZONE_UUID", "INSTANCE_UUID"] {
        metadata.insert(name.to_owned(), instance.into());
    }
    metadata.shift_remove("user-script");
    Ok(json!({"manifests": manifests, "metadata": metadata}))
}

/// Returns the request to VMAPI that would create the instance's zone.
pub(super) fn payload(tables: &Tables<'_>, instance: &str) -> RestResult<Object> {
    let family = Family::of(tables, instance)?;
    if text(&family.service, "type") != "vm" {
        return Ok(Object::new());
    }
    let metadata = family.merged("metadata");
    let boot: Object = BOOT_METADATA
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), metadata.get(*name)?.clone())))
        .collect();
    let mut params = family.merged("params");
    params.insert("owner_uuid".to_owned(), text(&family.application, "owner_uuid").into());
    params.insert("uuid".to_owned(), instance.into());
    params.insert("brand".to_owned(), BRAND.into());
    params.insert("customer_metadata".to_owned(), boot.into());
    Ok(params)
}

/// Returns the SHA-1, in hexadecimal, of the JSON of the sorted list of `path,value`. Nulls are left out.
pub(super) fn etag(config: &Value) -> RestResult<String> {
    let mut list = Vec::new();
    flatten(config, "", &mut list);
    // JavaScript sorts by UTF-16 code units.
    list.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let text = serde_json::to_vec(&list).map_err(|error| RestError::internal(error.to_string()))?;
    Ok(hex::encode(Sha1::digest(text)))
}

/// Lists the leaves of a value as `path,value`. The elements of an array have the path of the array.
fn flatten(value: &Value, path: &str, list: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| flatten(item, path, list)),
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path},{name}") };
                flatten(member, &path, list);
            }
        }
        scalar => list.push(format!("{path},{}", js::to_text(scalar))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_is_that_of_the_sorted_list_without_nulls() {
        let list = r#"["manifests,uuid,m1","metadata,a,x,1","metadata,a,x,2.5","metadata,b,true"]"#;
        let expected = hex::encode(Sha1::digest(list));
        let config = json!({
            "metadata": {"b": true, "none": null, "a": {"x": [1.0, 2.5, null]}},
            "manifests": [{"uuid": "m1"}],
        });
        assert_eq!(etag(&config).unwrap(), expected);
        assert_eq!(expected.len(), 40);
    }
}
