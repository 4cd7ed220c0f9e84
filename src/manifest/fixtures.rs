// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Records that tests share: records that Node.js IMGAPI 4.13.1 left in a datacenter's Moray, and small ones.

use serde_json::{Value, json};

use super::image::{Image, Record};
use super::kinds::{Mode, Rules};
use super::uuid::Uuid;

/// The rules of a datacenter without channels.
pub(super) const DC: Rules = Rules { mode: Mode::Dc, channels_configured: false };

pub(super) const VADER: &str = "86055c40-2547-11e2-8a6b-4bb37edc84ba";
pub(super) const LUKE: &str = "91ba0e64-2547-11e2-a972-df579e5fddb3";
pub(super) const EMPEROR: &str = "a0b6b534-2547-11e2-b758-63a2afd747d1";
pub(super) const SDC: &str = "ba28f844-8cb4-f141-882d-46d6251e6a9f";

pub(super) const BASE: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
pub(super) const NODEJS: &str = "da58c25a-2547-11e2-9b8d-136daa650e8a";
pub(super) const BASE_2: &str = "e078a6aa-2547-11e2-8688-03ac37b2b4a0";
pub(super) const FATHER: &str = "7a1b1967-6ecf-1e4c-8f09-f49094cc36ad";
pub(super) const DARK_SIDE: &str = "9f819499-8298-9842-8cc5-1c2838196ab4";
pub(super) const JOIN_US: &str = "2d28c64f-fb16-2145-a0ca-f626aea35c77";

/// The values of the bucket `imgapi_images`, one JSON text each.
pub(super) fn moray_lines() -> impl Iterator<Item = &'static str> {
    include_str!("../../test/data/manifest/moray-imgapi_images.jsonl").lines()
}

/// The images of that bucket.
pub(super) fn moray_images() -> Vec<Image> {
    moray_lines().map(|line| load(serde_json::from_str(line).unwrap())).collect()
}

/// The image of that bucket with this UUID.
pub(super) fn moray_image(uuid: &str) -> Image {
    moray_images().into_iter().find(|image| image.uuid().to_string() == uuid).unwrap()
}

/// Parses a UUID.
pub(super) fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}

/// Loads a record that must be valid in a datacenter.
pub(super) fn load(record: Value) -> Image {
    Image::load(object(record), DC).unwrap()
}

/// The members of an object.
pub(super) fn object(value: Value) -> Record {
    match value {
        Value::Object(members) => members,
        other => unreachable!("{other} is no object"),
    }
}

/// A small valid record with some members changed.
pub(super) fn small_record(changes: Value) -> Record {
    let mut record = object(json!({
        "v": 2, "uuid": BASE, "owner": SDC, "name": "base", "version": "1.0", "type": "zone-dataset",
        "os": "smartos", "state": "unactivated", "disabled": false, "activated": false, "public": false, "acl": [],
    }));
    record.extend(object(changes));
    record
}
