// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The log: audit records, and data that must not be in it.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{BASE, LUKE, NOBODY, TestApp, fresh, merged, small_manifest, tests};

tests! {
    a_request_leaves_one_record_of_restifys_form,
    bodies_are_recorded_except_of_successful_reads,
    what_did_not_match_a_route_is_recorded_too,
    health_checks_are_not_recorded,
    a_client_that_leaves_has_a_record,
    secrets_are_masked,
    the_cost_of_a_record_is_that_of_its_length,
    every_line_is_a_bunyan_record,
}

async fn a_request_leaves_one_record_of_restifys_form(app: &TestApp) {
    let id = fresh();
    let target = format!("/images/{BASE}?a=b&a=c&action=x");
    let call =
        app.luke().call(Method::GET, &target).header("x-request-id", &id).header("user-agent", "audit/1");
    let answer = call.header("accept-version", "~2").send().await;
    answer.ok();
    let record = app.audit(&id).await;
    let expected = json!({"name": "imgapi", "level": 30, "v": 0, "audit": true, "_audit": true, "route": "getimage",
        "action": "x", "msg": "handled: 200", "remoteAddress": "127.0.0.1", "pid": app.dc.imgapi_pid()});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&record[name], value, "{name}");
    }
    let req = &record["req"];
    assert_eq!(req["query"], json!({"a": ["b", "c"], "action": "x", "account": LUKE}));
    assert_eq!(
        (&req["method"], &req["httpVersion"], &req["version"]),
        (&json!("GET"), &json!("1.1"), &json!("~2"))
    );
    assert_eq!(req["url"], format!("{target}&account={LUKE}"));
    assert_eq!(req["headers"]["user-agent"], "audit/1");
    assert_eq!((&req["trailers"], req["timers"].is_object()), (&json!({}), true));
    let res = &record["res"];
    assert_eq!((&res["statusCode"], &res["trailer"]), (&json!(200), &json!(false)));
    assert_eq!(res["headers"]["content-length"], answer.body.len(), "a number");
    assert_eq!(res["headers"]["x-request-id"], id);
    assert!(record["latency"].is_u64() && record["remotePort"].is_u64() && record["hostname"].is_string());
    let time = record["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert!(record.get("err").is_none() && record.get("remoteUser").is_none());
    let same = app.log().into_iter().filter(|record| record["req_id"] == id.as_str()).count();
    assert_eq!(same, 1);
    let text = std::fs::read_to_string(app.dc.log_file()).unwrap();
    let line = text.lines().find(|line| line.contains(&id)).unwrap();
    // Probes search for these texts before they parse a line.
    assert!(
        line.contains("\"level\":30")
            && line.contains("\"route\":\"getimage\"")
            && line.ends_with("\"v\":0}")
    );
}

async fn bodies_are_recorded_except_of_successful_reads(app: &TestApp) {
    let id = fresh();
    let body = merged(small_manifest(), json!({"name": "$"}));
    let call = app.luke().call(Method::POST, "/images").json(&body).header("x-request-id", &id);
    call.send().await.refused(422, "ValidationFailed");
    let record = app.audit(&id).await;
    assert_eq!((&record["req"]["body"], &record["res"]["body"]["code"]), (&body, &json!("ValidationFailed")));
    assert_eq!(record["err"]["name"], "ValidationFailedError");
    assert!(record["err"]["message"].is_string() && record["err"]["stack"].is_string());
    assert_eq!(record["req"]["version"], "~1");

    let id = fresh();
    app.operator()
        .call(Method::GET, &format!("/images/{BASE}"))
        .header("x-request-id", &id)
        .send()
        .await
        .ok();
    assert_eq!(app.audit(&id).await["res"].get("body"), None);
    let id = fresh();
    app.operator()
        .call(Method::GET, &format!("/images/{NOBODY}"))
        .header("x-request-id", &id)
        .send()
        .await
        .not_found();
    assert_eq!(app.audit(&id).await["res"]["body"]["code"], "ResourceNotFound");
    // The content of a file is not logged as text.
    let uuid = app.luke().has_image(json!({})).await;
    let id = fresh();
    let upload = app.luke().call(Method::PUT, &format!("/images/{uuid}/file?compression=none"));
    upload.body("bytes").header("x-request-id", &id).send().await.ok();
    let record = app.audit(&id).await;
    assert_eq!((record["req"].get("body"), &record["res"]["body"]["uuid"]), (None, &json!(uuid)));
    // A long record would not be written in one write.
    let id = fresh();
    let long = merged(small_manifest(), json!({"tags": {"a": "x".repeat(70_000)}}));
    app.luke().call(Method::POST, "/images").json(&long).header("x-request-id", &id).send().await.ok();
    assert!(app.audit(&id).await["req"]["body"].as_str().unwrap().len() < 100);
}

async fn what_did_not_match_a_route_is_recorded_too(app: &TestApp) {
    for (method, target, status) in
        [("GET", "/nothing?a=b", 404), ("PATCH", "/images?a=b", 405), ("GET", "/images/%zz", 400)]
    {
        let id = fresh();
        let call = app.operator().call(method.parse().unwrap(), target).header("x-request-id", &id);
        assert_eq!(call.send().await.status, status);
        let record = app.audit(&id).await;
        assert_eq!((&record["route"], &record["req"]["query"]), (&Value::Null, &json!("")), "{target}");
        assert_eq!((&record["res"]["statusCode"], &record["req"]["url"]), (&json!(status), &json!(target)));
    }
}

async fn health_checks_are_not_recorded(app: &TestApp) {
    let quiet = [("GET", "/ping"), ("HEAD", "/ping"), ("GET", "/ping?error=Internal")];
    let ids: Vec<String> = quiet.iter().map(|_| fresh()).collect();
    for ((method, target), id) in quiet.iter().zip(&ids) {
        app.operator().call(method.parse().unwrap(), target).header("x-request-id", id).send().await;
    }
    // Later records are written later.
    let id = fresh();
    app.operator().call(Method::POST, "/ping").header("x-request-id", &id).send().await;
    app.audit(&id).await;
    let recorded =
        app.log().into_iter().filter(|record| ids.iter().any(|id| record["req_id"] == id.as_str()));
    assert_eq!(recorded.filter(|record| record["_audit"] == true).count(), 0);
}

async fn a_client_that_leaves_has_a_record(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let id = fresh();
    let mut connection = app.connect().await;
    let head =
        format!("PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n");
    connection.send(format!("{head}Content-Length: 100\r\n\r\nbytes")).await;
    drop(connection);
    let record = app.audit(&id).await;
    let status = record["res"]["statusCode"].as_u64().unwrap();
    assert!(status == 400 || status == 499, "{record}");
    assert_eq!(record["route"], "addimagefile");
    app.nothing_unfinished().await;
}

async fn secrets_are_masked(app: &TestApp) {
    let id = fresh();
    let target = "/images?access_token=hushhush1&source=https%3A%2F%2Fuser%3Ahushhush2%40example.com%2F";
    let mut call = app.operator().call(Method::POST, target).header("x-request-id", &id);
    for header in [
        "authorization",
        "x-registry-auth",
        "x-registry-config",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "x-api-key",
        "x-amz-security-token",
        "x-old-password",
        "x-client-secret",
    ] {
        call = call.header(header, "hushhush3");
    }
    call.json(&json!({"name": "a", "password": "hushhush4"})).send().await.refused(422, "ValidationFailed");
    let record = app.audit(&id).await;
    assert_eq!(record["req"]["headers"]["authorization"], "***");
    assert_eq!(record["req"]["query"]["access_token"], "***");
    let mut connection = app.connect().await;
    let id = fresh();
    let (host, referer) = ("Host: hushhush5:hushhush6@localhost:80", "Referer: https://hushhush7@h/");
    let request_id = format!("X-Request-Id: {id}");
    connection.exchange(&["GET /images?limit=1 HTTP/1.1", host, referer, &request_id]).await;
    assert_eq!(app.audit(&id).await["req"]["headers"]["host"], "***@localhost:80");
    let config: Value = serde_json::from_slice(&std::fs::read(app.dc.config_file()).unwrap()).unwrap();
    let password = config["ufds"]["bindPassword"].as_str().unwrap();
    let log = std::fs::read_to_string(app.dc.log_file()).unwrap();
    assert!(log.contains("loaded config") && !log.contains(password));
    assert!(!log.contains("hushhush"));
    assert!(!app.metrics().await.contains("hushhush"));
}

/// Each of these patterns once took seconds to write. Many of them exceed the test's time limit unless the time only grows with
/// the length.
async fn the_cost_of_a_record_is_that_of_its_length(app: &TestApp) {
    let patterns = ["=", "%3d", "://", "%3a%2f%2f", "@", "a&", "token%3D", "%25", ":/"];
    let ids: Vec<_> = patterns.iter().map(|_| [fresh(), fresh()]).collect();
    let attacks = patterns.iter().zip(&ids).map(async |(pattern, [in_query, in_header])| {
        let text = pattern.repeat(60_000 / pattern.len());
        let mut connection = app.connect().await;
        let id = format!("X-Request-Id: {in_query}");
        let answer = connection.exchange(&[&format!("GET /images?{text} HTTP/1.1"), "Host: x", &id]).await;
        assert!(answer.status < 500, "{answer:?}");
        let id = format!("X-Request-Id: {in_header}");
        let header = format!("X-Text: {text}");
        connection.exchange(&["GET /images?limit=1 HTTP/1.1", "Host: x", &id, &header]).await.ok();
    });
    futures_util::future::join_all(attacks).await;
    for id in ids.iter().flatten() {
        app.audit(id).await;
    }
    let many: String = (0..10_000).map(|number| format!("p{number}&")).collect();
    let answer = app.operator().call(Method::GET, &format!("/images?{many}")).send().await;
    answer.refused(400, "BadRequestError");
}

async fn every_line_is_a_bunyan_record(app: &TestApp) {
    let log = app.log();
    for record in &log {
        assert!(record["name"] == "imgapi" && record["v"] == 0, "{record}");
        assert!(record["hostname"].is_string() && record["msg"].is_string(), "{record}");
        assert!(record["pid"].is_u64() && record["level"].is_u64(), "{record}");
        let time = record["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{record}");
    }
    let messages = ["loaded config", "Bucket has been loaded"];
    for message in messages {
        assert!(log.iter().any(|record| record["msg"] == message), "{message}");
    }
    let started =
        |text: &str| log.iter().any(|record| record["msg"].as_str().is_some_and(|msg| msg.starts_with(text)));
    assert!(started("Image API listening on <http://127.0.0.1:"));
    assert!(started("metrics server started on http://127.0.0.1:"));
}
