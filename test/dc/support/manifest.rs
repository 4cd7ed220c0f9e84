// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Accounts, manifests and records for the tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha1::Sha1;

pub(crate) const ADMIN: &str = "930896af-bf8c-48d4-885c-6573a94b1853";
pub(crate) const VADER: &str = "86055c40-2547-11e2-8a6b-4bb37edc84ba";
pub(crate) const LUKE: &str = "91ba0e64-2547-11e2-a972-df579e5fddb3";
pub(crate) const EMPEROR: &str = "a0b6b534-2547-11e2-b758-63a2afd747d1";
pub(crate) const SDC: &str = "ba28f844-8cb4-f141-882d-46d6251e6a9f";
/// A sub-user of vader. It is in UFDS, but is not an account.
pub(crate) const TARKIN: &str = "b6f7e3a1-0c55-4a5e-9d2f-0d8d3c3f0e11";

/// An image of sdc's: public, active.
pub(crate) const BASE: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
/// An image of sdc's: public, disabled.
pub(crate) const NODEJS: &str = "da58c25a-2547-11e2-9b8d-136daa650e8a";
/// An image of sdc's: public, not activated.
pub(crate) const BASE_2: &str = "e078a6aa-2547-11e2-8688-03ac37b2b4a0";
/// An image of vader's: shared with luke, active.
pub(crate) const FATHER: &str = "7a1b1967-6ecf-1e4c-8f09-f49094cc36ad";
/// An image of vader's: shared with luke, disabled.
pub(crate) const DARK_SIDE: &str = "9f819499-8298-9842-8cc5-1c2838196ab4";
/// An image of vader's: shared with the emperor, not activated.
pub(crate) const JOIN_US: &str = "2d28c64f-fb16-2145-a0ca-f626aea35c77";
/// An image of luke's: private, disabled.
pub(crate) const PROBE: &str = "fee1dead-0000-4000-8000-000000000001";
/// A UUID without an image.
pub(crate) const NOBODY: &str = "3560c262-fc65-0242-a446-7c6d1fb482e3";

/// Returns the records as 4.13.1 stored them.
pub(crate) fn takeover_records() -> Vec<Value> {
    let lines = include_str!("../../data/manifest/moray-imgapi_images.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns a new UUID as text.
pub(crate) fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Returns the smallest manifest that CreateImage accepts with an account.
pub(crate) fn small_manifest() -> Value {
    json!({"name": "small", "version": "1.0.0", "type": "zone-dataset", "os": "smartos"})
}

/// Returns a small valid record of an active image. No account of the tests owns it.
pub(crate) fn small_record(changes: Value) -> Value {
    let record = json!({
        "v": 2, "owner": fresh(), "name": "small", "version": "1.0.0", "type": "zone-dataset", "os": "smartos",
        "public": false, "disabled": false, "activated": true, "state": "active", "acl": [], "uuid": fresh(),
        "published_at": "2030-01-01T00:00:00.000Z",
        "files": [{"sha1": sha1_of(b"file"), "size": 4, "compression": "none", "stor": "local"}],
    });
    merged(record, changes)
}

/// Returns `object` with the members of `changes`; null removes a member.
pub(crate) fn merged(mut object: Value, changes: Value) -> Value {
    let (members, Value::Object(changes)) = (object.as_object_mut().unwrap(), changes) else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        if value.is_null() {
            members.shift_remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    object
}

/// Returns the MD5 in base64, as in `Content-MD5`.
pub(crate) fn md5_of(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// Returns the SHA-1 in lower-case hexadecimal.
pub(crate) fn sha1_of(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}
