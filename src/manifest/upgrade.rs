// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Upgrades manifests of version 1, the dataset manifests of SDC 6, to version 2.

use serde_json::{Value, json};

use super::coerce;
use super::image::Record;

/// Members that version 2 does not use.
const DROPPED: &[&str] = &[
    "vendor_uuid",
    "creator_name",
    "creator_admin",
    "cloud_name",
    "owner_uuid",
    "platform_type",
    "created_at",
    "updated_at",
    "_url",
];

/// Length of a date without seconds, `2011-05-17T11:53Z`, and the position at which the seconds are inserted.
const WITHOUT_SECONDS: usize = "2011-05-17T11:53Z".len();
const SECONDS_AT: usize = "2011-05-17T11:53".len();

/// Returns the manifest in version 2. A manifest that is in version 2 already, or whose version cannot be determined,
/// is returned unchanged; validation then reports what is wrong with it.
#[must_use]
pub fn upgrade(mut manifest: Record) -> Record {
    if !is_version_1(&manifest) || manifest.contains_key("owner") {
        return manifest;
    }
    let Some(creator) = manifest.shift_remove("creator_uuid") else { return manifest };
    manifest.insert("v".to_owned(), json!(2));
    manifest.insert("owner".to_owned(), creator);
    share(&mut manifest);
    publish(&mut manifest);
    let disabled = manifest
        .get("disabled")
        .is_some_and(|disabled| *disabled == json!("true") || *disabled == json!(true));
    manifest.insert("disabled".to_owned(), json!(disabled));
    if let Some(files) = manifest.get_mut("files").and_then(Value::as_array_mut) {
        files.iter_mut().filter_map(Value::as_object_mut).for_each(upgrade_file);
    }
    let size = manifest.get("image_size").filter(|size| size.is_string()).and_then(coerce::number);
    if let Some(size) = size.and_then(coerce::whole) {
        manifest.insert("image_size".to_owned(), json!(size));
    }
    manifest.retain(|name, _| !DROPPED.contains(&name.as_str()));
    manifest
}

fn is_version_1(manifest: &Record) -> bool {
    match manifest.get("v") {
        None => manifest.contains_key("creator_uuid"),
        Some(v) => coerce::number(v) == Some(1.0),
    }
}

/// Makes a manifest for one account a private image with an ACL, and any other a public image.
fn share(manifest: &mut Record) {
    match manifest.shift_remove("restricted_to_uuid") {
        Some(account) => {
            // A manifest with both is contradictory, and validation reports it.
            manifest.entry("public").or_insert(json!(false));
            manifest.insert("acl".to_owned(), json!([account]));
        }
        None => {
            manifest.entry("public").or_insert(json!(true));
        }
    }
}

fn publish(manifest: &mut Record) {
    let date = manifest.get("published_at").or_else(|| manifest.get("created_at")).cloned();
    if let Some(date) = date {
        manifest.insert("published_at".to_owned(), with_seconds(date));
    }
}

fn with_seconds(date: Value) -> Value {
    match date.as_str() {
        Some(text) if text.len() == WITHOUT_SECONDS && text.is_ascii() => {
            Value::from(format!("{}:00Z", &text[..SECONDS_AT]))
        }
        _ => date,
    }
}

fn upgrade_file(file: &mut Record) {
    let path = file.shift_remove("path");
    file.shift_remove("url");
    let extension = path.as_ref().and_then(Value::as_str).and_then(|path| path.rsplit_once('.'));
    let compression = match extension.map(|(_, extension)| extension) {
        Some("gz") => "gzip",
        Some("bz2") => "bzip2",
        _ => "none",
    };
    file.entry("compression").or_insert(json!(compression));
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{BASE, LUKE, VADER, object};
    use super::*;

    fn version_1(changes: Value) -> Record {
        let mut manifest = object(json!({
            "uuid": BASE, "name": "ubuntu", "version": "1.0", "type": "zvol", "os": "linux", "creator_uuid": LUKE,
            "vendor_uuid": VADER, "platform_type": "smartos", "cloud_name": "sdc", "urn": "sdc:sdc:ubuntu:1.0",
            "created_at": "2011-05-17T11:53Z", "updated_at": "2011-05-17T11:53:00.000Z", "image_size": "16384",
            "files": [{"path": "a.zfs.bz2", "url": "http://a", "sha1": "x", "size": 5}], "_url": "x",
        }));
        manifest.extend(object(changes));
        manifest
    }

    #[test]
    fn version_1_becomes_version_2() {
        let expected = json!({
            "uuid": BASE, "name": "ubuntu", "version": "1.0", "type": "zvol", "os": "linux", "v": 2, "owner": LUKE,
            "urn": "sdc:sdc:ubuntu:1.0", "published_at": "2011-05-17T11:53:00Z", "image_size": 16384, "public": true,
            "disabled": false, "files": [{"sha1": "x", "size": 5, "compression": "bzip2"}],
        });
        assert_eq!(Value::Object(upgrade(version_1(json!({})))), expected);
        assert_eq!(Value::Object(upgrade(version_1(json!({"v": 1})))), expected);
    }

    #[test]
    fn a_restricted_image_is_private() {
        let upgraded = upgrade(version_1(json!({"restricted_to_uuid": VADER, "disabled": "true"})));
        assert_eq!(upgraded["public"], json!(false));
        assert_eq!(upgraded["acl"], json!([VADER]));
        assert_eq!(upgraded["disabled"], json!(true));
        assert!(!upgraded.contains_key("restricted_to_uuid"));
    }

    #[test]
    fn others_stay_as_they_are() {
        for manifest in [
            json!({"v": 2, "owner": LUKE, "creator_uuid": VADER}),
            json!({"name": "x"}),
            json!({"v": 1, "owner": LUKE, "creator_uuid": VADER}),
            json!({"v": 1}),
        ] {
            assert_eq!(Value::Object(upgrade(object(manifest.clone()))), manifest);
        }
    }

    #[test]
    fn odd_values_do_not_break_it() {
        let odd = json!({"creator_uuid": 5, "files": [1, {"path": 7}], "created_at": "2011-05-17Té1:53Z", "disabled": {}});
        let upgraded = upgrade(object(odd));
        assert_eq!(upgraded["files"], json!([1, {"compression": "none"}]));
    }
}
