// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI in a datacenter: its persistence and its faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

use coal::Datacenter;
use coal::rest::RestFault;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

async fn get(url: String) -> (StatusCode, Value) {
    let response = Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Sets metadata of a service or an application, as `sapiadm update` does.
async fn put(url: String, body: Value) {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.put(url).header("content-type", "application/json").body(body.to_string());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

async fn metadata(datacenter: &Datacenter) -> Value {
    let (status, config) =
        get(format!("{}/configs/{}", datacenter.sapi().url(), datacenter.imgapi_instance())).await;
    assert_eq!(status, StatusCode::OK);
    config["metadata"].clone()
}

#[tokio::test]
async fn what_was_changed_outlives_a_restart_and_addresses_follow() {
    let directory = tempfile::tempdir().unwrap();
    let start = || Datacenter::builder().data_dir(directory.path()).start();
    let first = start().await.unwrap();
    let instance = first.imgapi_instance().to_owned();
    let service = format!("{}/services/{}", first.sapi().url(), first.imgapi_service());
    put(service.clone(), json!({"metadata": {"IMGAPI_ALLOW_INSECURE": true, "SERVICE_NAME": "other"}})).await;
    put(service, json!({"action": "delete", "metadata": {"assets-ip": ""}})).await;
    let before = metadata(&first).await;
    first.stop().await;

    let second = start().await.unwrap();
    assert_eq!(second.imgapi_instance(), instance);
    let after = metadata(&second).await;
    assert_eq!(after["IMGAPI_ALLOW_INSECURE"], true);
    assert_eq!(after["SERVICE_NAME"], "other");
    assert!(after.get("assets-ip").is_none(), "what was removed stays away");
    assert_eq!(after["UFDS_SERVICE"], second.ufds().address().to_string());
    assert_ne!(after["ufds_ldap_root_pw"], before["ufds_ldap_root_pw"]);
    second.stop().await;
}

#[tokio::test]
async fn sapi_fails_when_it_is_told_to() {
    let datacenter = Datacenter::builder().services(false).start().await.unwrap();
    let sapi = datacenter.sapi();
    let mode = format!("{}/mode", sapi.url());
    sapi.set_proto_mode().await.unwrap();
    assert_eq!(get(mode.clone()).await, (StatusCode::OK, json!("proto")));
    sapi.faults().set(RestFault::Unavailable);
    assert_eq!(get(mode.clone()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    sapi.faults().clear();
    sapi.faults().set(RestFault::BackendDown);
    let (status, ping) = get(format!("{}/ping", sapi.url())).await;
    assert_eq!((status, &ping["storAvailable"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!(false)));
    assert_eq!(get(mode.clone()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    sapi.faults().clear();
    sapi.stop().await;
    assert!(Client::builder().no_proxy().build().unwrap().get(&mode).send().await.is_err());
    sapi.start().await.unwrap();
    assert_eq!(get(mode).await.0, StatusCode::OK);
    datacenter.stop().await;
}
