// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The API and its faults.

use coal::rest::{Garbage, RestFault, RestFaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use super::Api;

const BODY: &str = "  function (job, cb) { cb(); } /* done */";

fn workflow(name: &str) -> Value {
    let task = json!({"name": "a", "body": BODY, "modules": {"restify": "restify"}});
    json!({"name": name, "version": "1.0.0", "timeout": 10, "chain": [task], "onerror": []})
}

#[tokio::test]
async fn a_posted_workflow_is_normalised_and_a_put_one_is_not() {
    let api = Api::start().await;
    let added = api.post("/workflows", workflow("w-1")).await;
    let task = &added["chain"][0];
    assert_eq!(task["body"], "function (job, cb) { cb(); }");
    assert_eq!(task["modules"], "{\"restify\":\"restify\"}", "an object is stored as text");
    assert!(task["uuid"].is_string() && added["chain_md5"].is_string() && added.get("version").is_none());
    assert_eq!((&added["timeout"], &added["max_attempts"]), (&json!(10), &json!(10)));
    assert_eq!(
        api.call(Method::POST, "/workflows", Some(workflow("w-1"))).await.1["code"],
        "InvalidArgument"
    );
    assert_eq!(api.get("/workflows?name=w-1").await.as_array().unwrap().len(), 1);
    assert_eq!(api.get("/workflows?name=w-").await, json!([]));
    let path = format!("/workflows/{}", added["uuid"].as_str().unwrap());
    let (status, put) = api.call(Method::PUT, &path, Some(workflow("w-1"))).await;
    assert_eq!((status, &put["chain"][0]["body"]), (200, &json!(BODY)));
    assert_eq!(put["chain_md5"], added["chain_md5"], "old digests remain");
    assert_eq!(api.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(api.call(Method::GET, &path, None).await.0, 404);
    assert_eq!(api.call(Method::GET, "/workflows/workflow-check", None).await.0, 404);
}

#[tokio::test]
async fn a_workflow_with_a_wrong_source_is_refused() {
    let api = Api::start().await;
    let with = |body: Value| json!({"name": "w", "chain": [{"name": "a", "body": body}]});
    let syntax = api.call(Method::POST, "/workflows", Some(with(json!("function (")))).await;
    assert_eq!((syntax.0, &syntax.1["code"]), (500, &json!("InternalError")));
    let none = api.call(Method::POST, "/workflows", Some(with(json!(null)))).await;
    assert_eq!((none.0, &none.1["code"]), (409, &json!("ConflictError")));
}

#[tokio::test]
async fn jobs_are_listed_with_filters_newest_first() {
    let api = Api::start().await;
    api.server.pause_runner();
    let uuid = api.workflow(workflow("any")).await;
    for (target, task) in [("/a", "x"), ("/b", "y"), ("/c", "x")] {
        api.post("/jobs", json!({"workflow": uuid, "target": target, "task": task, "image_uuid": "i"})).await;
    }
    let targets = |jobs: &Value| -> Vec<String> {
        jobs.as_array().unwrap().iter().map(|job| job["target"].as_str().unwrap().to_owned()).collect()
    };
    let jobs = api.get("/jobs?image_uuid=i&task=x&execution=queued").await;
    assert_eq!(targets(&jobs), ["/c", "/a"]);
    assert!(jobs[0].get("chain").is_none(), "a list does not tell the tasks");
    assert_eq!(targets(&api.get("/jobs?limit=1&offset=1").await), ["/b"]);
    let response = api.client.get(api.server.url() + "/jobs?limit=1").send().await.unwrap();
    assert_eq!(response.headers()["x-count"], "3");
    for (query, code) in [("execution=waiting", "ConflictError"), ("colour=red", "InvalidArgument")] {
        let (status, body) = api.call(Method::GET, &format!("/jobs?{query}"), None).await;
        assert_eq!((status, &body["code"]), (409, &json!(code)));
    }
}

#[tokio::test]
async fn a_job_is_refused_when_it_exists_or_its_target_is_locked() {
    let api = Api::start().await;
    api.server.pause_runner();
    let uuid = api.workflow(workflow("any")).await;
    let job = |target: &str, n: Value| json!({"workflow": uuid, "target": target, "n": n});
    api.post("/jobs", job("/a", json!(1))).await;
    assert_eq!(api.call(Method::POST, "/jobs", Some(job("/a", json!(1)))).await.0, 409);
    api.post("/jobs", job("/a", json!(2))).await;
    api.post("/jobs", job("/deep", json!([1]))).await;
    api.post("/jobs", job("/deep", json!([1]))).await;
    api.post("/jobs", json!({"workflow": uuid, "target": "/x", "locks": "^/l"})).await;
    assert_eq!(api.call(Method::POST, "/jobs", Some(job("/locked", json!(1)))).await.0, 409);
    let chosen =
        json!({"workflow": uuid, "target": "/chosen", "uuid": "0d6d1d44-0000-4000-8000-000000000000"});
    assert_eq!(api.post("/jobs", chosen.clone()).await["uuid"], chosen["uuid"]);
    let unknown = api.call(Method::POST, "/jobs", Some(json!({"workflow": "none"}))).await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("ResourceNotFound")));
}

#[tokio::test]
async fn faults_meet_the_requests_they_name() {
    let api = Api::start().await;
    let faults = api.server.faults();
    faults.set(RestFault::BackendDown);
    assert_eq!(api.get("/ping").await["backend"], "down");
    assert_eq!(api.call(Method::GET, "/workflows", None).await.0, 503);
    faults.clear();
    assert_eq!(api.get("/ping").await["backend"], "up");
    for (fault, status) in [(RestFault::InternalError, 500), (RestFault::Conflict, 409)] {
        faults.set(RestFaultRule::new(fault).method("GET").path("/jobs").times(1));
        assert_eq!(api.call(Method::GET, "/jobs", None).await.0, status);
    }
    faults.set(RestFaultRule::new(RestFault::Garbage { body: Garbage::WrongJson }).times(1));
    assert!(api.get("/jobs").await.is_array());
    let send = || api.client.post(api.server.url() + "/workflows").json(&workflow("lost")).send();
    faults.set(RestFaultRule::new(RestFault::Garbage { body: Garbage::Cut }).times(1));
    let cut = send().await.unwrap();
    assert!(cut.bytes().await.is_err());
    faults.set(RestFaultRule::new(RestFault::LostAnswer).times(1));
    assert!(send().await.is_err());
    assert_eq!(api.get("/workflows?name=lost").await.as_array().unwrap().len(), 1, "it was done");
    api.server.stop().await;
    assert!(send().await.is_err());
    api.server.start().await.unwrap();
    assert_eq!(send().await.unwrap().status().as_u16(), 409);
}
