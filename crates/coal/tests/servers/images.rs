// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! VMAPI and CNAPI: machines, servers, and images that are created from machines.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use coal::cnapi::{CnapiServer, TaskFault, TaskFaultRule, vm_file};
use coal::rest::RestServer;
use coal::ufds::Directory;
use coal::vmapi::{self, Fleet, VmState};
use serde_json::{Value, json};

use crate::{FREE_PORT, within};

/// The requests to an IMGAPI: method, path with query, body.
type Calls = Arc<Mutex<Vec<(String, String, Bytes)>>>;

/// An IMGAPI that accepts every request, except those to `fails_at`.
#[derive(Clone, Default)]
struct Imgapi {
    calls: Calls,
    fails_at: Option<&'static str>,
}

async fn imgapi(State(imgapi): State<Imgapi>, request: Request) -> (StatusCode, Json<Value>) {
    let method = request.method().to_string();
    let uri = request.uri().to_string();
    let uuid = uri[8..44].to_owned();
    let at = {
        let mut calls = imgapi.calls.lock().unwrap();
        calls.push((method.clone(), uri.clone(), Bytes::new()));
        calls.len() - 1
    };
    let Ok(body) = axum::body::to_bytes(request.into_body(), 8 << 20).await else {
        return (StatusCode::BAD_REQUEST, Json(json!({})));
    };
    let size = body.len();
    imgapi.calls.lock().unwrap()[at].2 = body;
    if imgapi.fails_at.is_some_and(|part| uri.contains(part)) {
        return (StatusCode::CONFLICT, Json(json!({"code": "NoActivation", "message": "not today"})));
    }
    let sha1 = uri.split("sha1=").nth(1).unwrap_or_default();
    let image = json!({
        "uuid": uuid, "os": "smartos", "type": "zone-dataset", "files": [{"sha1": sha1, "size": size}],
        "origin": (method == "GET" && uuid.starts_with("aa")).then_some("cc000000-0000-4000-8000-000000000001"),
    });
    (StatusCode::OK, Json(image))
}

async fn start_imgapi(imgapi_state: Imgapi) -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let router = Router::new().fallback(imgapi).with_state(imgapi_state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

struct Servers {
    fleet: Fleet,
    vmapi: RestServer,
    cnapi: CnapiServer,
    client: reqwest::Client,
}

async fn servers() -> Servers {
    let fleet = Fleet::built_in(&Directory::built_in().unwrap().accounts());
    let vmapi = vmapi::serve(FREE_PORT, fleet.clone()).await.unwrap();
    let cnapi = CnapiServer::bind(FREE_PORT, fleet.clone()).await.unwrap();
    Servers { fleet, vmapi, cnapi, client: reqwest::Client::builder().no_proxy().build().unwrap() }
}

impl Servers {
    async fn get(&self, url: String) -> (u16, Value) {
        let response = self.client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Creates an image of the machine; returns the task after it has ended.
    async fn make(&self, alias: &str, imgapi: &str, incremental: bool, max_depth: Option<u32>) -> Value {
        let mut more = json!({"incremental": incremental});
        if let Some(depth) = max_depth {
            more["max_origin_depth"] = json!(depth);
        }
        self.make_with(alias, imgapi, more).await
    }

    /// Creates an image with more members in the request.
    async fn make_with(&self, alias: &str, imgapi: &str, more: Value) -> Value {
        let vm = self.fleet.vm_called(alias).unwrap();
        let mut order = json!({
            "compression": "gzip", "imgapi_url": imgapi,
            "manifest": {"uuid": IMAGE, "name": "mine", "version": "1"},
        });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("/servers/{}/vms/{}/images", vm.server_uuid.unwrap(), vm.uuid);
        let answer = self.client.post(self.cnapi.url() + &path).json(&order).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
        let (status, task) = within(self.get(format!("{}/tasks/{id}/wait", self.cnapi.url()))).await;
        assert_eq!((status, &task["id"], &task["task"]), (200, &json!(id), &json!("machine_create_image")));
        task
    }
}

const IMAGE: &str = "dd000000-0000-4000-8000-000000000001";

/// Returns `imgadm`'s error code in the history of a task.
fn code(task: &Value) -> String {
    let message = task["history"][0]["event"]["error"]["message"].as_str().unwrap_or_default();
    let error: Value = serde_json::from_str(message).unwrap_or_default();
    error["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn machines_are_found_and_filtered() {
    let servers = servers().await;
    let vm = servers.fleet.vm_called("kvm").unwrap();
    let url = servers.vmapi.url();
    let (status, found) = servers.get(format!("{url}/vms/{}?owner_uuid={}", vm.uuid, vm.owner_uuid)).await;
    assert_eq!((status, found), (200, serde_json::to_value(&vm).unwrap()));
    let other = servers.get(format!("{url}/vms/{}?owner_uuid=other", vm.uuid)).await;
    assert_eq!((other.0, &other.1["code"]), (404, &json!("ResourceNotFound")));
    let count =
        async |query: &str| servers.get(format!("{url}/vms?{query}")).await.1.as_array().unwrap().len();
    assert_eq!(count("").await, 9, "destroyed machines are not listed unless asked for");
    assert_eq!(count("state=destroyed").await, 1);
    assert_eq!(count("brand=lx&docker=true").await, 1);
    assert_eq!(servers.get(format!("{url}/vms?colour=red")).await.0, 409);
}

#[tokio::test]
async fn servers_tell_their_platform() {
    let servers = servers().await;
    let platform = async |alias: &str| {
        let server = servers.fleet.vm_called(alias).unwrap().server_uuid.unwrap();
        let (_, server) = servers.get(format!("{}/servers/{server}", servers.cnapi.url())).await;
        (server["sysinfo"]["SDC Version"].clone(), server["current_platform"].clone())
    };
    assert_eq!(platform("smartos").await, (json!("7.0"), json!("20260101T000000Z")));
    assert_eq!(platform("on-old-server").await, (json!("7.0"), json!("20130101T000000Z")));
    assert_eq!(platform("on-silent-server").await.0, Value::Null);
    assert_eq!(servers.get(format!("{}/servers/none", servers.cnapi.url())).await.0, 404);
    assert_eq!(servers.get(format!("{}/tasks/none", servers.cnapi.url())).await.0, 404);
}

#[tokio::test]
async fn an_image_is_made_as_imgadm_does_it() {
    let servers = servers().await;
    let imgapi = Imgapi::default();
    let url = start_imgapi(imgapi.clone()).await;
    let task = servers.make("smartos", &url, true, Some(3)).await;
    assert_eq!(task["status"], "complete", "{task}");
    let calls = imgapi.calls.lock().unwrap().clone();
    let asked: Vec<String> = calls
        .iter()
        .map(|(method, uri, _)| format!("{method} {}", uri.split("&sha1").next().unwrap()))
        .collect();
    let image = format!("/images/{IMAGE}");
    assert_eq!(
        asked[3..],
        [
            format!("POST {image}?action=import"),
            format!("PUT {image}/file?compression=gzip"),
            format!("POST {image}?action=activate"),
        ]
    );
    let vm = servers.fleet.vm_called("smartos").unwrap();
    let manifest: Value = serde_json::from_slice(&calls[3].2).unwrap();
    assert_eq!(manifest["origin"], json!(vm.image_uuid));
    assert_eq!(manifest["requirements"]["min_platform"], json!({"7.0": "20260101T000000Z"}));
    assert_eq!((&manifest["os"], &manifest["type"]), (&json!("smartos"), &json!("zone-dataset")));
    assert_eq!(calls[4].2, vm_file(&vm.uuid, true).unwrap());
}

#[tokio::test]
async fn what_cannot_be_made_an_image_of_fails() {
    let servers = servers().await;
    let imgapi = Imgapi::default();
    let url = start_imgapi(imgapi.clone()).await;
    assert_eq!(code(&servers.make("running", &url, false, None).await), "VmNotStopped");
    assert_eq!(code(&servers.make("without-image", &url, true, None).await), "VmHasNoOrigin");
    assert_eq!(code(&servers.make("smartos", &url, true, Some(2)).await), "MaxOriginDepth");
    assert!(imgapi.calls.lock().unwrap().iter().all(|(method, ..)| method == "GET"));
}

#[tokio::test]
async fn a_running_machine_is_stopped_to_be_prepared_and_runs_again() {
    let servers = servers().await;
    let imgapi = Imgapi::default();
    let url = start_imgapi(imgapi.clone()).await;
    let script = json!({"prepare_image_script": "#!/bin/bash"});
    let state = || servers.fleet.vm_called("running").unwrap().state;
    let task = servers.make_with("running", &url, script.clone()).await;
    assert_eq!((&task["status"], state()), (&json!("complete"), VmState::Running), "{task}");
    let fails = Imgapi { fails_at: Some("activate"), ..Imgapi::default() };
    let task = servers.make_with("running", &start_imgapi(fails).await, script.clone()).await;
    assert_eq!((&task["status"], state()), (&json!("failure"), VmState::Running));
    let task = servers.make_with("smartos", &url, script).await;
    assert_eq!(task["status"], "complete");
    assert_eq!(servers.fleet.vm_called("smartos").unwrap().state, VmState::Stopped);
}

#[tokio::test]
async fn an_image_that_is_not_published_is_deleted() {
    let servers = servers().await;
    let imgapi = Imgapi { fails_at: Some("activate"), ..Imgapi::default() };
    let url = start_imgapi(imgapi.clone()).await;
    let task = servers.make("lx", &url, false, None).await;
    assert_eq!((task["status"].as_str(), code(&task)), (Some("failure"), "ClientError".to_owned()));
    let last = imgapi.calls.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.0.as_str(), last.1), ("DELETE", format!("/images/{IMAGE}")));
}

#[tokio::test]
async fn a_task_may_never_end() {
    let servers = servers().await;
    let url = start_imgapi(Imgapi::default()).await;
    servers.cnapi.task_faults().set(TaskFaultRule::new(TaskFault::NeverEnd).times(1));
    let vm = servers.fleet.vm_called("smartos").unwrap();
    let order = json!({"compression": "gzip", "imgapi_url": url, "manifest": {"uuid": IMAGE}});
    let path = format!("/servers/{}/vms/{}/images", vm.server_uuid.unwrap(), vm.uuid);
    let begun = servers.client.post(servers.cnapi.url() + &path).json(&order).send().await.unwrap();
    let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let (status, task) =
        within(servers.get(format!("{}/tasks/{id}/wait?timeout=1", servers.cnapi.url()))).await;
    assert_eq!((status, &task["status"], &task["history"]), (200, &json!("active"), &json!([])));
    // The next task is not affected.
    assert_eq!(servers.make("smartos", &url, false, None).await["status"], "complete");
    let (_, task) = servers.get(format!("{}/tasks/{id}", servers.cnapi.url())).await;
    assert_eq!(task["status"], "active");
}

#[tokio::test]
async fn tasks_fail_in_every_way_that_is_asked_for() {
    let servers = servers().await;
    let imgapi = Imgapi::default();
    let url = start_imgapi(imgapi.clone()).await;
    let faults = servers.cnapi.task_faults();
    let message = || "no".to_owned();
    let event = async |fault: TaskFault| {
        faults.set(TaskFaultRule::new(fault).times(1));
        let task = servers.make("smartos", &url, false, None).await;
        assert_eq!(task["status"], "failure");
        task["history"][0].clone()
    };
    let text = event(TaskFault::Text { message: message(), details: Some("at all".to_owned()) }).await;
    assert_eq!(
        (&text["event"]["error"], &text["event"]["details"]["error"]),
        (&json!("no"), &json!("at all"))
    );
    let object = event(TaskFault::Object { message: message() }).await;
    assert_eq!(object["event"]["error"]["message"], "no");
    let json_error = event(TaskFault::Json { code: "E".to_owned(), message: message() }).await;
    assert_eq!(json_error["event"]["error"]["message"], "{\"code\":\"E\",\"message\":\"no\"}");
    let log = event(TaskFault::Log { messages: vec![message()] }).await;
    assert_eq!((&log["name"], &log["event"]["log"][0]["message"]), (&json!("finish"), &json!("no")));
    event(TaskFault::Silent).await;
    assert!(imgapi.calls.lock().unwrap().is_empty());
    event(TaskFault::DieHalfWay).await;
    within(async {
        while imgapi.calls.lock().unwrap().last().is_none_or(|(method, ..)| method != "PUT") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let last = imgapi.calls.lock().unwrap().last().cloned().unwrap();
    assert!(last.2.is_empty(), "the upload never came to its end");
    assert_eq!(faults.applied(), 6);
}
