// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Key files, and reloading them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::{Key, Server};

fn directory(server: &Server) -> PathBuf {
    let directory = server.dc.local_dir().join("etc/authkeys/local");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Waits until the condition holds.
pub(crate) async fn within_a_minute(what: &str, is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::task::yield_now().await;
    }
}

/// Requests a reload of the key files.
pub(crate) async fn reload(server: &Server) {
    let reload = server.request(Method::POST, "/authkeys/reload").signed_with(Key::KNOWN);
    assert_eq!(reload.send().await.json(), json!({}));
}

/// Requests a reload and waits until a request of `user` is answered with this status.
pub(crate) async fn reload_until(server: &Server, user: &str, key: Key, status: u16) {
    reload(server).await;
    within_a_minute(&format!("{status} for {user}"), async || {
        server.get("/ping").signed_by(user, key, &["date"]).send().await.status == status
    })
    .await;
}

#[tokio::test]
async fn files_are_read_again_on_demand() {
    let server = Server::start("private").await;
    let file = directory(&server).join("lu.ke @x.keys");
    reload_until(&server, "lu.ke @x", Key("rsa"), 401).await;
    fs::write(&file, format!("# keys\n\nnonsense\n{}", Key("rsa").public())).unwrap();
    reload_until(&server, "lu.ke @x", Key("rsa"), 200).await;
    fs::write(&file, Key("ecdsa384").public()).unwrap();
    reload_until(&server, "lu.ke @x", Key("rsa"), 401).await;
    reload_until(&server, "lu.ke @x", Key("ecdsa384"), 200).await;
    fs::remove_file(&file).unwrap();
    reload_until(&server, "lu.ke @x", Key("ecdsa384"), 401).await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_does_not_hold_up_the_others() {
    let server = Server::start("private").await;
    let directory = directory(&server);
    fs::write(directory.join("luke.keys"), Key("rsa").public()).unwrap();
    reload_until(&server, "luke", Key("rsa"), 200).await;
    fs::remove_file(directory.join("luke.keys")).unwrap();
    fs::create_dir(directory.join("luke.keys")).unwrap();
    fs::write(directory.join("vader.keys"), Key("ed25519").public()).unwrap();
    reload_until(&server, "vader", Key("ed25519"), 200).await;
    reload_until(&server, "luke", Key("rsa"), 200).await;
    within_a_minute("the log tells of the file", async || {
        let log = fs::read_to_string(server.dc.log_file()).unwrap();
        log.contains("cannot read the key file") && log.contains("luke.keys")
    })
    .await;
    server.stop().await;
}
