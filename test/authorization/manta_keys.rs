// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Key files in Manta.

use std::fs;

use bytes::Bytes;
use coal::datacenter::MantaMode;
use coal::manta::MantaFault;
use http_signature::PrivateKey;
use manta::{Client, Config, NewObject, Path};
use serde_json::{Value, json};

use crate::key_files::{reload, reload_until};
use crate::support::{Key, Server};

/// A server that reads keys from Manta, and a client that puts them there.
struct Stage {
    server: Server,
    manta: Client,
}

impl Stage {
    async fn start() -> Stage {
        let keys = json!({"user": [Key::KNOWN.public()]});
        // Image files need not be stored in Manta.
        let config =
            [("authType", json!("signature")), ("authKeys", keys), ("storageTypes", json!(["local"]))];
        let server = Server::start_on("private", &config, |dc| dc.manta(MantaMode::Local)).await;
        let pem = fs::read_to_string(server.dc.key_file("admin")).unwrap();
        let url = server.dc.manta().unwrap().url();
        let config = Config::new(url, "admin", PrivateKey::from_pem(&pem).unwrap());
        Stage { server, manta: Client::new(config).unwrap() }
    }

    fn path(name: &str) -> Path {
        Path::new(format!("/admin/stor/imgapi/authkeys/{name}")).unwrap()
    }

    async fn put(&self, name: &str, text: impl Into<Bytes>) {
        let new = NewObject { make_directories: true, ..NewObject::default() };
        self.manta.put_bytes(&Stage::path(name), text.into(), &new).await.unwrap();
    }

    /// Returns the worker's entry in the state.
    async fn worker(&self) -> Value {
        let state = self.server.get("/state").signed_with(Key::KNOWN).send().await.json();
        state["workers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|worker| worker["name"] == "auth-keys")
            .unwrap()
            .clone()
    }

    /// Requests a reload of the keys, and waits until the worker has failed once more.
    async fn reload_fails(&self) -> String {
        let failures = async || self.worker().await["failures"].as_u64().unwrap();
        let before = failures().await;
        reload(&self.server).await;
        crate::key_files::within_a_minute("a failure", async || failures().await > before).await;
        self.worker().await["lastError"]["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn keys_come_from_manta_and_go_with_it() {
    let stage = Stage::start().await;
    let server = &stage.server;
    // If nothing was ever copied, a missing directory counts as an empty one.
    assert_eq!(stage.worker().await["failures"], 0);
    stage.put("lu.ke @x.keys", Key("rsa").public()).await;
    stage.put("README", "no keys").await;
    stage.put(".hidden.keys", Key("rsa").public()).await;
    reload_until(server, "lu.ke @x", Key("rsa"), 200).await;
    // A user has the keys from all three places: the local files, the configuration and Manta.
    stage.put("user.keys", Key("rsa").public()).await;
    reload_until(server, "user", Key("rsa"), 200).await;
    reload_until(server, "user", Key::KNOWN, 200).await;
    stage.put("lu.ke @x.keys", Key("ecdsa384").public()).await;
    reload_until(server, "lu.ke @x", Key("rsa"), 401).await;
    reload_until(server, "lu.ke @x", Key("ecdsa384"), 200).await;
    stage.manta.delete(&Stage::path("lu.ke @x.keys"), None).await.unwrap();
    reload_until(server, "lu.ke @x", Key("ecdsa384"), 401).await;
    let copies = fs::read_dir(server.dc.local_dir().join("etc/authkeys/manta")).unwrap();
    let copies: Vec<_> = copies.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(copies, ["user.keys"]);
    assert_eq!(stage.worker().await["failures"], 0);
    stage.server.stop().await;
}

#[tokio::test]
async fn without_manta_keys_stay_as_they_were() {
    let mut stage = Stage::start().await;
    stage.put("luke.keys", Key("rsa").public()).await;
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    stage.put("vader.keys", Key("ed25519").public()).await;
    stage.server.dc.manta().unwrap().faults().set(MantaFault::HangUp);
    stage.reload_fails().await;
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    // The keys of the previous run are known from the start.
    stage.server.dc.restart_imgapi().await.unwrap();
    let ping = stage.server.get("/ping").signed_by("luke", Key("rsa"), &["date"]).send().await;
    assert_eq!(ping.status, 200);
    // The worker recovers by itself.
    stage.server.dc.manta().unwrap().faults().clear();
    crate::key_files::within_a_minute("vader's key", async || {
        let ping = stage.server.get("/ping").signed_by("vader", Key("ed25519"), &["date"]).send().await;
        ping.status == 200
    })
    .await;
    stage.server.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_gone_from_manta_locks_nobody_out() {
    let stage = Stage::start().await;
    stage.put("luke.keys", Key("rsa").public()).await;
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    let directory = Path::new("/admin/stor/imgapi/authkeys").unwrap();
    stage.manta.delete(&Stage::path("luke.keys"), None).await.unwrap();
    stage.manta.delete(&directory, None).await.unwrap();
    let failure = stage.reload_fails().await;
    assert!(failure.contains("/admin/stor/imgapi/authkeys") && failure.contains("1 files"), "{failure}");
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    // If the directory exists and is empty, there are no keys.
    stage.manta.mkdirp(&directory).await.unwrap();
    reload_until(&stage.server, "luke", Key("rsa"), 401).await;
    stage.server.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_copied_does_not_hold_up_the_others() {
    let stage = Stage::start().await;
    stage.put("luke.keys", Key("rsa").public()).await;
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    stage.put("luke.keys", Key("rsa").public().repeat(4000)).await;
    stage.put("vader.keys", Key("ed25519").public()).await;
    assert!(stage.reload_fails().await.contains("1048576 bytes"));
    reload_until(&stage.server, "vader", Key("ed25519"), 200).await;
    reload_until(&stage.server, "luke", Key("rsa"), 200).await;
    stage.server.stop().await;
}
