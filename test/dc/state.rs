// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AdminGetState and AdminUpdateState.

use reqwest::Method;
use serde_json::json;

use super::support::{TestApp, tests, wait_until};

tests! {
    the_state_says_how_the_backends_are,
    the_state_tells_of_the_workers,
    caches_are_dropped_on_demand,
}

async fn the_state_says_how_the_backends_are(app: &TestApp) {
    let answer = app.operator().get("/state").await;
    let state = answer.ok();
    assert_eq!((&state["log"]["level"], &state["storageTypes"]), (&json!(30), &json!(["local"])));
    assert_eq!((&state["database"]["type"], &state["ufds"]), (&json!("moray"), &json!({"connected": true})));
    assert!(state["database"]["connections"].as_u64().unwrap() > 0);
    let members: Vec<_> = state["database"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["type", "connections", "images", "age", "damaged"]);
    // Other tests store damaged records.
    for damaged in state["database"]["damaged"].as_array().unwrap() {
        assert!(damaged["name"].is_string() && damaged["reason"].is_string(), "{damaged}");
    }
    // Only the configuration file contains the password of UFDS.
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(app.dc.config_file()).unwrap()).unwrap();
    assert!(!answer.text().contains(config["ufds"]["bindPassword"].as_str().unwrap()));
}

async fn the_state_tells_of_the_workers(app: &TestApp) {
    let sweep = async || {
        let answer = app.operator().get("/state").await;
        let workers = answer.ok()["workers"].as_array().unwrap().clone();
        workers.into_iter().find(|worker| worker["name"] == "sweep").unwrap()
    };
    let been_through = async || Some(sweep().await).filter(|sweep| sweep["lastSuccess"].is_string());
    let sweep = wait_until("the sweep has been through", been_through).await;
    let members: Vec<_> = sweep.as_object().unwrap().keys().map(String::as_str).collect();
    let all = ["name", "state", "next", "done", "pending", "detail", "lastSuccess", "failures", "lastError"];
    assert_eq!(members, all);
    let metrics = app.metrics().await;
    for name in ["done_total", "failures_total", "pending", "last_success_timestamp_seconds"] {
        let found = metrics.lines().any(|line| {
            line.starts_with(&format!("imgapi_worker_{name}{{")) && line.contains("worker=\"sweep\"")
        });
        assert!(found, "{name}");
    }
}

async fn caches_are_dropped_on_demand(app: &TestApp) {
    let post = async |query: &str| app.operator().call(Method::POST, &format!("/state{query}")).send().await;
    let dropped = post("?action=dropcaches").await;
    assert_eq!((dropped.status, dropped.body.len(), dropped.header("content-type")), (202, 0, None));
    post("").await.refused(409, "MissingParameter");
    post("?action=").await.refused(409, "MissingParameter");
    post("?action=DropCaches").await.refused(409, "InvalidArgument");
    app.operator().call(Method::PUT, "/state").send().await.refused(405, "MethodNotAllowedError");
}
