// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Headers of all responses, and connections after a response.

use reqwest::Method;
use serde_json::json;

use super::support::{Answer, BASE, NOBODY, TestApp, fresh, tests};

tests! {
    every_status_has_the_common_headers,
    a_request_id_is_echoed_or_made,
    an_old_client_without_host_gets_its_answer_and_a_close,
    a_request_is_for_one_host,
    requests_may_be_sent_ahead,
    a_body_is_asked_for_only_when_it_is_wanted,
    a_length_given_twice_is_refused,
    what_is_too_long_gets_an_answer_with_a_code,
}

fn assert_common(answer: &Answer) {
    let version = concat!("imgapi/", env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.header("server"), Some(version), "{answer:?}");
    assert!(uuid::Uuid::parse_str(answer.header("x-request-id").unwrap()).is_ok(), "{answer:?}");
    assert!(answer.header("x-response-time").unwrap().parse::<u64>().is_ok(), "{answer:?}");
    assert!(!answer.header("x-server-name").unwrap().is_empty(), "{answer:?}");
    assert!(answer.header("date").unwrap().ends_with(" GMT"), "{answer:?}");
    assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
    if answer.status == 204 || answer.status == 304 {
        let content = answer.headers.keys().find(|name| name.as_str().starts_with("content-"));
        assert!(content.is_none(), "{answer:?}");
    } else {
        assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string(), "{answer:?}");
    }
}

async fn every_status_has_the_common_headers(app: &TestApp) {
    let doomed = app.luke().has_active_image(json!({})).await;
    let etag = app.luke().get_image(&doomed).await.header("etag").unwrap().to_owned();
    let operator = app.operator();
    let image = format!("/images/{doomed}");
    let get = |target: &str| operator.call(Method::GET, target);
    let huge = vec![b' '; (4 << 20) + 1];
    let cases = [
        (200, get("/ping")),
        (200, get("/images?limit=1")),
        (200, get(&image)),
        (200, get(&format!("{image}/file"))),
        (304, get(&image).header("if-none-match", &etag)),
        (400, get(&image).header("accept-version", "~99")),
        (404, get(&format!("/images/{NOBODY}"))),
        (404, get("/nothing")),
        (405, operator.call(Method::PATCH, &image)),
        (406, get(&image).header("accept", "application/xml")),
        (412, get(&image).header("if-match", "x")),
        (413, operator.call(Method::POST, "/images").header("content-type", "application/json").body(huge)),
        (422, get("/images?state=x")),
        (501, operator.call(Method::POST, "/images?action=create-from-vm")),
        (204, operator.call(Method::DELETE, &image)),
    ];
    for (status, call) in cases {
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_common(&answer);
    }
}

async fn a_request_id_is_echoed_or_made(app: &TestApp) {
    let ping = || app.operator().call(Method::GET, "/ping");
    for id in [fresh(), "not a UUID: (é)".replace('é', "e"), "x".repeat(300)] {
        let answer = ping().header("x-request-id", &id).send().await;
        assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
    }
    let both = ping().header("x-request-id", "second").header("request-id", "first").send().await;
    assert_eq!(both.header("x-request-id"), Some("first"));
    let made = [ping().send().await, ping().send().await];
    assert_ne!(made[0].header("x-request-id"), made[1].header("x-request-id"));
    // An upload with this id works. 4.13.1 used the id in a file name.
    let uuid = app.luke().has_image(json!({})).await;
    let upload = app.luke().call(Method::PUT, &format!("/images/{uuid}/file?compression=none"));
    let answer = upload.header("x-request-id", "../../etc/passwd").body("bytes").send().await;
    assert_eq!(answer.ok()["files"][0]["size"], 5);
    assert_eq!(answer.header("x-request-id"), Some("../../etc/passwd"));
}

async fn an_old_client_without_host_gets_its_answer_and_a_close(app: &TestApp) {
    let mut connection = app.connect().await;
    let answer = connection.exchange(&["GET /ping HTTP/1.0"]).await;
    assert_eq!(answer.ok()["ping"], "pong");
    assert!(connection.is_closed().await);
    // With keep-alive the connection stays open.
    let mut connection = app.connect().await;
    for _ in 0..2 {
        let answer = connection.exchange(&["GET /ping HTTP/1.0", "Connection: keep-alive"]).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
    let mut connection = app.connect().await;
    let answer = connection.exchange(&["GET /ping HTTP/1.1", "Host: x", "Connection: close"]).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(connection.is_closed().await);
}

/// If one server reads the first of two `Host` headers and another the last, they would not agree on the host of a request.
async fn a_request_is_for_one_host(app: &TestApp) {
    for lines in [
        &["GET /ping HTTP/1.1"][..],
        &["GET /ping HTTP/1.1", "Host: x", "Host: x"],
        &["GET /ping HTTP/1.1", "Host: x", "Accept: */*", "host: y"],
        &["GET /ping HTTP/1.0", "Host: x", "Host: y"],
        &["GET http://x/ping HTTP/1.1"],
        &["GET /ping HTTP/1.1", "Host: user:password@x"],
        &["GET /ping HTTP/1.1", "Host: x/y"],
        &["GET /nothing HTTP/1.1"],
    ] {
        let answer = app.connect().await.exchange(lines).await;
        answer.refused(400, "BadRequestError");
        assert!(answer.header("x-request-id").is_some(), "{lines:?}");
    }
    for host in ["Host:", "Host: x:80", "Host: [::1]:8080"] {
        assert_eq!(app.connect().await.exchange(&["GET /ping HTTP/1.1", host]).await.ok()["ping"], "pong");
    }
}

async fn requests_may_be_sent_ahead(app: &TestApp) {
    let mut connection = app.connect().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.send(get("/ping") + &get(&format!("/images/{BASE}")) + &get("/nothing") + &get("/ping")).await;
    let first = connection.read_answer().await;
    // Scripts search for exactly this line.
    assert_eq!(first.what, "HTTP/1.1 200 OK");
    assert_eq!(first.ok()["ping"], "pong");
    assert_eq!(connection.read_answer().await.ok()["uuid"], BASE);
    connection.read_answer().await.not_found();
    assert_eq!(connection.read_answer().await.ok()["ping"], "pong");
}

/// curl waits for `100 Continue` before it sends a large body.
async fn a_body_is_asked_for_only_when_it_is_wanted(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let put = |uuid: &str| {
        format!(
            "PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\n\r\n"
        )
    };
    let mut connection = app.connect().await;
    connection.send(put(&uuid)).await;
    assert_eq!(connection.read_head().await.status, 100);
    connection.send("bytes").await;
    assert_eq!(connection.read_answer().await.ok()["files"][0]["size"], 5);

    let mut connection = app.connect().await;
    connection.send(put(NOBODY)).await;
    let answer = connection.read_answer().await;
    assert!(answer.status == 404 || answer.status == 100, "{answer:?}");
}

async fn a_length_given_twice_is_refused(app: &TestApp) {
    let mut connection = app.connect().await;
    let lines = ["POST /images HTTP/1.1", "Host: x", "Content-Length: 1", "Content-Length: 2"];
    let answer = connection.exchange(&lines).await;
    answer.refused(400, "BadRequestError");
}

async fn what_is_too_long_gets_an_answer_with_a_code(app: &TestApp) {
    let long = "x".repeat(70_000);
    for lines in [
        [format!("GET /images?name={long} HTTP/1.1"), "Host: x".to_owned()],
        ["GET /ping HTTP/1.1".to_owned(), format!("X-Long: {long}")],
    ] {
        let mut connection = app.connect().await;
        let answer = connection.exchange(&[&lines[0], &lines[1]]).await;
        assert!(matches!(answer.status, 414 | 431), "{answer:?}");
        assert!(answer.json()["code"].is_string() && answer.json()["message"].is_string(), "{answer:?}");
        assert!(connection.is_closed().await);
    }
    // These are valid requests.
    let query = "x".repeat(30_000);
    assert_eq!(app.operator().list(&format!("name={query}")).await.len(), 0);
}
