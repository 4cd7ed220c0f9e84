// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What each caller may see.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Key, Server};

/// Returns the log records with this member.
fn log_records(server: &Server, name: &str, value: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(server.dc.log_file()).unwrap();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record[name] == value).collect()
}

#[tokio::test]
async fn how_the_backends_are_is_for_users() {
    for mode in ["public", "private"] {
        let server = Server::start(mode).await;
        let refused = server.get("/ping?deep=true").send().await;
        refused.unauthorized();
        assert_eq!(server.get("/ping?deep=false").send().await.json()["backends"], json!(null));
        let pong = server.get("/ping?deep=true").signed_with(Key::KNOWN).send().await.json();
        assert_eq!((&pong["user"], pong["backends"].is_array()), (&json!("user"), true));
        server.stop().await;
    }
}

#[tokio::test]
async fn ping_tells_users_who_they_are_and_the_process() {
    let server = Server::start("public").await;
    let ping = server.get("/ping").send().await.json();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ping), ["ping", "version", "imgapi"]);
    let ping = server.get("/ping").signed_with(Key::KNOWN).send().await.json();
    assert_eq!(names(&ping), ["ping", "version", "imgapi", "pid", "user"]);
    assert_eq!((&ping["user"], &ping["pid"]), (&json!("user"), &json!(server.dc.imgapi_pid())));
    server.stop().await;
}

#[tokio::test]
async fn strangers_list_active_images_only() {
    let server = Server::start("private").await;
    for (kind, strangers) in [("draft", 404), ("active", 200), ("disabled", 404)] {
        let from = format!("/images?marker={}", server.has_image(kind).await);
        assert_eq!(server.get(&from).send().await.status, strangers, "{kind}");
        assert_eq!(server.get(&from).signed_with(Key::KNOWN).send().await.status, 200, "{kind}");
    }
    let states = async |target: &str, signed: bool| {
        let request = server.get(target);
        let request = if signed { request.signed_with(Key::KNOWN) } else { request };
        let images = request.send().await.json();
        let states =
            images.as_array().unwrap().iter().map(|image| image["state"].as_str().unwrap().to_owned());
        let mut states: Vec<String> = states.collect();
        states.sort();
        states.join(" ")
    };
    for (query, strangers, users) in [
        ("", "active", "active"),
        ("?state=all", "active", "active disabled unactivated"),
        ("?state=disabled", "", "disabled"),
        ("?state=unactivated", "", "unactivated"),
        ("?state=creating", "", ""),
    ] {
        assert_eq!(states(&format!("/images{query}"), false).await, strangers, "{query}");
        assert_eq!(states(&format!("/images{query}"), true).await, users, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn admin_fields_are_for_users() {
    let server = Server::start("public").await;
    let uuid = server.has_image("active").await;
    let draft = server.has_image("draft").await;
    for target in ["/images".to_owned(), format!("/images/{uuid}")] {
        let wanted = format!("{target}?inclAdminFields=true");
        server.get(&wanted).send().await.unauthorized();
        let shown = server.get(&wanted).signed_with(Key::KNOWN).send().await.json();
        let image = shown.get(0).unwrap_or(&shown);
        assert_eq!(image["files"][0]["stor"], "local", "{shown}");
        server.get(&format!("{target}?inclAdminFields=false")).send().await.json();
        assert_eq!(server.get(&format!("{target}?inclAdminFields=x")).send().await.status, 422);
    }
    // GetImage looks up the image before it checks the parameter.
    let hidden = server.get(&format!("/images/{draft}?inclAdminFields=true")).send().await;
    assert_eq!(hidden.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn without_authentication_everybody_is_anonymous_and_may_change_everything() {
    let server = Server::start_with("public", &[("authType", json!("none"))]).await;
    let draft = server.has_image("filed").await;
    let wrong = |method, target: &str| server.request(method, target).header("authorization", "nonsense");
    wrong(Method::GET, &format!("/images/{draft}")).send().await.json();
    assert_eq!(wrong(Method::GET, &format!("/images/{draft}/file")).send().await.status, 200);
    // The restrictions of 4.13.1 still apply.
    assert_eq!(wrong(Method::GET, "/images?state=all").send().await.json(), json!([]));
    assert_eq!(wrong(Method::GET, "/images?state=unactivated").send().await.json(), json!([]));
    wrong(Method::GET, "/images?inclAdminFields=true").send().await.unauthorized();
    assert!(wrong(Method::GET, "/ping").send().await.json().get("pid").is_none());
    assert_eq!(wrong(Method::POST, "/authkeys/reload").send().await.json(), json!({}));
    assert_eq!(wrong(Method::DELETE, &format!("/images/{draft}")).send().await.status, 204);
    server.stop().await;
}

#[tokio::test]
async fn who_it_is_comes_before_everything_but_the_route_and_a_uuid_to_read() {
    let server = Server::start("private").await;
    let status = async |method: Method, target: &str, key: Key| {
        let request = server.request(method, target).body("{ not JSON");
        request.signed_with(key).send().await.status
    };
    assert_eq!(status(Method::POST, "/images?account=x", Key::UNKNOWN).await, 401);
    assert_eq!(status(Method::POST, "/images/x?action=activate", Key::UNKNOWN).await, 401);
    assert_eq!(status(Method::DELETE, "/images/x", Key::UNKNOWN).await, 401);
    assert_eq!(status(Method::DELETE, "/images/x", Key::KNOWN).await, 404);
    assert_eq!(status(Method::GET, "/images/x", Key::UNKNOWN).await, 404);
    assert_eq!(status(Method::GET, "/images/x/file", Key::UNKNOWN).await, 404);
    assert_eq!(status(Method::GET, "/nothing", Key::UNKNOWN).await, 404);
    assert_eq!(status(Method::PATCH, "/images", Key::UNKNOWN).await, 405);
    let version = server.request(Method::POST, "/images").header("accept-version", "~99");
    assert_eq!(version.send().await.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn the_log_names_the_user_and_not_the_signature() {
    let server = Server::start("private").await;
    let request = server.get("/images").signed_with(Key::KNOWN).header("x-request-id", "signed");
    let authorization = request.headers["authorization"].to_str().unwrap().to_owned();
    request.send().await.json();
    server.get("/images").header("x-request-id", "anonymous").send().await.json();
    let wrong = server.get("/images").signed_with(Key::UNKNOWN).header("x-request-id", "wrong");
    wrong.send().await.unauthorized();
    let log_file = server.dc.log_file();
    server.dc.stop_imgapi().await.unwrap();
    let user = |id: &str| log_records(&server, "req_id", id)[0].get("remoteUser").cloned();
    assert_eq!(user("signed"), Some(json!("user")));
    assert_eq!(user("anonymous"), None);
    assert_eq!(user("wrong"), None);
    let record = &log_records(&server, "req_id", "wrong")[0];
    assert_eq!(record["err"]["name"], "UnauthorizedError", "{record}");
    let text = std::fs::read_to_string(log_file).unwrap();
    let signature = authorization.split("signature=\"").nth(1).unwrap();
    assert!(!text.contains(signature.trim_end_matches('"')));
    server.dc.stop().await;
}
