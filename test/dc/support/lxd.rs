// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An image server of LXD for the tests: a simplestreams mirror.

use coal::datacenter::DatacenterBuilder;
use reqwest::Method;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, Foreign, Script, TestApp};

/// The server, and what its list of products says.
pub(crate) struct LxdServer {
    pub(crate) server: Foreign,
}

/// An image of a product, as its files.
pub(crate) struct LxdFiles {
    pub(crate) metadata: Vec<u8>,
    pub(crate) root: Vec<u8>,
}

/// Returns the SHA-256 of bytes, in hex.
pub(crate) fn sha256_of(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl LxdFiles {
    pub(crate) fn new(metadata: impl AsRef<[u8]>, root: impl AsRef<[u8]>) -> LxdFiles {
        LxdFiles { metadata: metadata.as_ref().to_vec(), root: root.as_ref().to_vec() }
    }

    /// The fingerprint of the image in two files.
    pub(crate) fn fingerprint(&self) -> String {
        sha256_of([&self.metadata[..], &self.root].concat())
    }

    pub(crate) fn uuid(&self) -> String {
        uuid_of(&self.fingerprint())
    }

    /// The items of a version with a root file system of this type, and the name of the checksum that counts for it.
    pub(crate) fn items(&self, ftype: &str, hash: &str) -> Value {
        json!({
            "lxd.tar.xz": {
                "ftype": "lxd.tar.xz", "path": "images/lxd.tar.xz", "size": self.metadata.len(),
                "sha256": sha256_of(&self.metadata), hash: self.fingerprint(),
            },
            "root": {
                "ftype": ftype, "path": format!("images/root.{ftype}"), "size": self.root.len(),
                "sha256": sha256_of(&self.root),
            },
        })
    }
}

/// Returns the UUID of an image with this fingerprint.
pub(crate) fn uuid_of(fingerprint: &str) -> String {
    let part = |from: usize, to: usize| &fingerprint[from..to];
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// A product for amd64 with one version of these items.
pub(crate) fn product(aliases: &str, items: &Value) -> Value {
    json!({
        "aliases": aliases, "arch": "amd64", "os": "Alpine", "release": "3.16", "release_title": "3.16 (stable)",
        "versions": {"20221008_13:00": {"items": items}},
    })
}

/// The index of a server with these products.
pub(crate) fn index<'a>(products: impl Iterator<Item = &'a str>) -> Script {
    let products: Vec<_> = products.collect();
    let images = json!({
        "datatype": "image-downloads", "path": "streams/v1/images.json", "products": products, "format": "products:1.0",
    });
    Script::json(200, &json!({"format": "index:1.0", "index": {"images": images}}))
}

/// The list of these products, by their full names.
pub(crate) fn list(products: &Map<String, Value>) -> Script {
    let list = json!({
        "content_id": "images", "datatype": "image-downloads", "format": "products:1.0", "products": products,
    });
    Script::json(200, &list)
}

impl LxdServer {
    /// Starts a server, and an application that knows it as `images`.
    pub(crate) async fn start() -> (LxdServer, TestApp) {
        LxdServer::start_with(|dc| dc).await
    }

    /// Starts a server, and an application in a datacenter that `build` changes.
    pub(crate) async fn start_with(
        build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder,
    ) -> (LxdServer, TestApp) {
        let lxd = LxdServer { server: Foreign::http("127.0.0.1").await };
        let url = lxd.server.url("/mirror");
        let nobody = "http://127.0.0.1:1";
        let app = TestApp::start_with(|dc| {
            let registries = json!({"images": url, "gone": nobody, "nameless": "http://nobody.invalid"});
            build(
                dc.imgapi_config("transferIdleSeconds", json!(2)).imgapi_config("lxdRegistries", registries),
            )
        })
        .await;
        (lxd, app)
    }

    pub(crate) fn on(&self, path: &str, script: Script) {
        self.server.on(&format!("/mirror/{path}"), script);
    }

    /// Has these products, by their full names.
    pub(crate) fn has_products(&self, products: Map<String, Value>) {
        self.on("streams/v1/index.json", index(products.keys().map(String::as_str)));
        self.on("streams/v1/images.json", list(&products));
    }

    /// Has one product, with one version of these items.
    pub(crate) fn has_product(&self, aliases: &str, items: &Value) {
        self.has_products(Map::from_iter([(
            "alpine:3.16:amd64:default".to_owned(),
            product(aliases, items),
        )]));
    }

    /// Has an image with a squashfs, under the alias `alpine/3.16`, and sends its files.
    pub(crate) fn has(&self, files: &LxdFiles) {
        self.has_product(
            "alpine/3.16,alpine/3.16/default",
            &files.items("squashfs", "combined_squashfs_sha256"),
        );
        self.on("images/lxd.tar.xz", Script::answer(200, &[], &files.metadata));
        self.on("images/root.squashfs", Script::answer(200, &[], &files.root));
    }
}

/// Imports `alias`, and returns the messages.
pub(crate) async fn import(app: &TestApp, alias: &str) -> Vec<Value> {
    let target = format!("/images?action=import-lxd-image&alias={alias}");
    messages(&app.operator().call(Method::POST, &target).send().await)
}

/// Checks that an import fails with this code, and returns the message.
#[track_caller]
pub(crate) fn refused(messages: &[Value], alias: &str, code: &str) -> String {
    let last = messages.last().unwrap();
    let message = last["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {messages:?}"));
    let error = json!({"code": code, "message": message});
    assert_eq!(*last, json!({"type": "error", "id": alias, "alias": alias, "error": error}), "{messages:?}");
    message.to_owned()
}

/// Returns the messages of an answer.
pub(crate) fn messages(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let text = answer.text();
    assert!(text.is_empty() || text.ends_with("\r\n"), "{text}");
    text.split_terminator("\r\n").map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the `status` of each message, without the progress of downloads; an error is told as its code.
pub(crate) fn statuses(messages: &[Value]) -> Vec<String> {
    let status = |message: &Value| match message["error"]["code"].as_str() {
        Some(code) => code.to_owned(),
        None => message["payload"]["status"].as_str().unwrap().to_owned(),
    };
    messages.iter().map(status).filter(|status| status != "Downloading").collect()
}
