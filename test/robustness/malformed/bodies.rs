// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bodies of CreateImage that are not manifests, or are not in their claimed encoding.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Case, Images};
use crate::support::raw::Exchange;

/// Members of a manifest, each of which must have a certain type.
const MEMBERS: [&str; 24] = [
    "v",
    "uuid",
    "owner",
    "name",
    "version",
    "description",
    "homepage",
    "eula",
    "disabled",
    "public",
    "type",
    "os",
    "origin",
    "files",
    "acl",
    "requirements",
    "users",
    "billing_tags",
    "traits",
    "tags",
    "generate_passwords",
    "inherited_directories",
    "nic_driver",
    "image_size",
];

/// Returns values that are wrong for most members, and right for some.
fn values() -> Vec<Value> {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    vec![
        Value::Null,
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("\u{0}"),
        json!("x".repeat(100_000)),
        json!([null, {}, [], 1]),
        json!({"a": {"b": [1]}}),
        json!({"__proto__": {}, "length": -1}),
        deep,
    ]
}

/// Texts that are not JSON objects.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "{",
    "}",
    "[",
    "nul",
    "null",
    "true",
    "5",
    "-",
    "1e99999",
    "\"text\"",
    "[]",
    "[{}]",
    "{}",
    "{\"name\"}",
    "{\"name\":}",
    "{\"name\":\"a\",}",
    "{'name':'a'}",
    "{\"name\":\"\\ud800\"}",
    "{\"name\":\"a\nb\"}",
    "{}{}",
    "\u{feff}{}",
    "{\"name\":\"a\"\0}",
];

const CONTENT_TYPES: [&str; 8] = [
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=X",
    "application/octet-stream",
    "text/plain",
    "\u{1f}",
];

fn manifest() -> Value {
    json!({
        "name": "n", "version": "1", "os": "smartos", "type": "zone-dataset",
        "owner": "930896af-bf8c-48d4-885c-6573a94b1853",
    })
}

pub(super) fn cases(images: &Images) -> Vec<Case> {
    let mut cases = wrong_members();
    for content_type in CONTENT_TYPES {
        let header = format!("Content-Type: {content_type}\r\n");
        cases.extend(TEXTS.map(|text| post("/images", &header, text.as_bytes())));
    }
    cases.push(post("/images", "", manifest().to_string().as_bytes()));
    cases.extend(wrong_bytes().into_iter().map(|bytes| post("/images", JSON, &bytes)));
    cases.extend(wrong_encodings());
    // An action without parameters still reads its body.
    let activate = format!("/images/{}?action=activate", images.open);
    cases.extend(TEXTS.map(|text| post(&activate, JSON, text.as_bytes())));
    cases
}

const JSON: &str = "Content-Type: application/json\r\n";

fn post(target: &str, headers: &str, body: &[u8]) -> Case {
    let mut bytes = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}").into_bytes();
    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
    bytes.extend_from_slice(body);
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    Case::new(format!("{headers:?} {shown}"), Exchange::of(bytes).kept_open())
}

fn wrong_members() -> Vec<Case> {
    let mut cases = Vec::new();
    for member in MEMBERS {
        for value in values() {
            let mut body = manifest();
            body[member] = value;
            let mut case = post("/images", JSON, body.to_string().as_bytes());
            case.must_fail = false;
            case.name = format!("{member}: {}", case.name);
            cases.push(case);
        }
    }
    for missing in ["name", "version", "os", "type", "owner"] {
        let mut body = manifest();
        body.as_object_mut().unwrap().remove(missing);
        cases.push(post("/images", JSON, body.to_string().as_bytes()));
    }
    for (member, value) in [("state", json!("active")), ("nonsense", json!(1)), ("activated", json!(true))] {
        let mut body = manifest();
        body[member] = value;
        cases.push(post("/images", JSON, body.to_string().as_bytes()));
    }
    cases
}

/// Returns bytes that are not text, and texts that a careless parser would not survive.
fn wrong_bytes() -> Vec<Vec<u8>> {
    let with_name = |name: &[u8]| [b"{\"name\":\"", name, b"\"}"].concat();
    vec![
        vec![0xff],
        vec![0; 1000],
        with_name(b"\xc3\x28"),
        with_name(b"\xed\xa0\x80"),
        with_name(b"\xf4\x90\x80\x80"),
        "[".repeat(200_000).into_bytes(),
        "{\"a\":".repeat(200_000).into_bytes(),
        format!("{{\"v\":1{}}}", "0".repeat(100_000)).into_bytes(),
        format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000)).into_bytes(),
        vec![b' '; (4 << 20) + 1],
        manifest().to_string().encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ]
}

fn wrong_encodings() -> Vec<Case> {
    let body = manifest().to_string();
    let whole = gzip(body.as_bytes());
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let with = |encoding: &str, bytes: &[u8]| {
        post("/images", &format!("{JSON}Content-Encoding: {encoding}\r\n"), bytes)
    };
    let mut cases = vec![
        with("gzip", body.as_bytes()),
        with("gzip", &whole[..whole.len() / 2]),
        with("gzip", &whole[..5]),
        with("gzip", b""),
        with("gzip", &[&whole[..], b"garbage"].concat()),
        with("gzip", &gzip(&whole)),
        with("gzip", &bomb),
        with("gzip", &gzip(&bomb)),
        with("x-gzip", b"\x1f\x8b\x08\x00\0\0\0\0\0\0"),
    ];
    cases.extend(["br", "deflate", "gzip, gzip", "nonsense", "zstd"].map(|name| with(name, &whole)));
    let digest = format!("{JSON}Content-MD5: nonsense\r\n");
    cases.push(post("/images", &digest, body.as_bytes()));
    cases
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
