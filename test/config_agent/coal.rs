// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The agent with coal's SAPI, which is known to answer like the real one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ::coal::sapi::SapiServer;
use serde_json::{Value, json};

use crate::zone::{INSTANCE, Zone, wait_for};

/// Sends a request to SAPI and returns the answer, which must be a success.
fn call(sapi: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let mut stream = TcpStream::connect(sapi).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {sapi}\r\naccept-version: ~2\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_in_sapi_is_in_the_files_soon() {
    let sapi = SapiServer::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = sapi.address();
    let uuid = |path: &str, body: &Value| call(address, "POST", path, body)["uuid"].clone();
    let mut zone = Zone::new();
    zone.more = json!({"sapi": {"url": sapi.url()}});
    let file = zone.path("registrar");
    let manifest =
        json!({"name": "registrar", "path": file, "template": "{{a}} {{b}} {{INSTANCE_UUID}} {{{map}}}"});
    let manifest = uuid("/manifests", &manifest);
    let sdc = json!({"name": "sdc", "owner_uuid": INSTANCE, "metadata": {"a": "sdc", "b": "sdc"}});
    let sdc = uuid("/applications", &sdc);
    let service = json!({
        "name": "imgapi", "application_uuid": sdc, "metadata": {"b": "imgapi"}, "manifests": {"registrar": manifest}
    });
    let service = uuid("/services", &service);
    uuid("/instances", &json!({"uuid": INSTANCE, "service_uuid": service}));
    let service = format!("/services/{}", service.as_str().unwrap());

    let daemon = zone.daemon();
    wait_for("the file", || zone.read("registrar") == format!("sdc imgapi {INSTANCE} "));
    wait_for("a 304", || daemon.log().contains("nothing is new"));
    call(address, "PUT", &service, &json!({"metadata": {"b": "\u{fc}", "map": {"x": "http://x"}}}));
    wait_for("the file", || {
        zone.read("registrar") == format!("sdc \u{fc} {INSTANCE} {{\"x\":\"http://x\"}}")
    });

    sapi.stop().await;
    wait_for("an outage", || daemon.log().contains("files stay as they are"));
    sapi.start().await.unwrap();
    call(address, "PUT", &service, &json!({"metadata": {"b": "back", "map": ""}}));
    wait_for("the file", || zone.read("registrar") == format!("sdc back {INSTANCE} "));
    call(address, "PUT", &service, &json!({"action": "delete", "metadata": {"b": ""}}));
    wait_for("the file", || zone.read("registrar") == format!("sdc sdc {INSTANCE} "));
    daemon.stop();
}
