// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The existing paths and methods.

use reqwest::Method;

use super::support::{BASE, FATHER, NOBODY, TestApp, fresh, tests};

tests! {
    every_method_of_every_path_has_its_answer,
    what_is_not_mounted_is_unknown,
    an_unknown_action_is_named,
    slashes_are_joined_but_not_dropped,
    path_parameters_are_decoded_and_malformed_escapes_refused,
    what_is_no_lower_case_uuid_is_not_found,
    a_preflight_is_answered_for_what_is_mounted,
}

/// Paths and their methods, in the order of `Allow`.
const MOUNTED: [(&str, &str); 17] = [
    ("/ping", "GET"),
    ("/images", "GET, POST"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3", "GET, POST, DELETE"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/file", "PUT, GET, HEAD"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/icon", "PUT, POST, GET, HEAD, DELETE"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/file/from-url", "POST"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/acl", "POST"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/jobs", "GET"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/clone", "POST"),
    ("/authkeys/reload", "POST"),
    ("/state", "GET, POST"),
    ("/datasets", "GET"),
    ("/datasets/base", "GET"),
    ("/", "GET"),
    ("/docs/", "GET"),
    ("/favicon.ico", "GET"),
    ("/images/3560c262-fc65-0242-a446-7c6d1fb482e3/push", "POST"),
];

async fn every_method_of_every_path_has_its_answer(app: &TestApp) {
    for (path, allowed) in MOUNTED {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"] {
            let answer = app.operator().call(method.parse().unwrap(), path).send().await;
            if allowed.split(", ").any(|mounted| mounted == method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            if method == "HEAD" {
                assert_eq!(answer.status, 405);
                assert_ne!(answer.header("content-length"), Some("0"), "the length of what GET would say");
            } else {
                answer.refused(405, "MethodNotAllowedError");
            }
        }
    }
}

async fn what_is_not_mounted_is_unknown(app: &TestApp) {
    // A datacenter has no channels.
    for (method, path) in [("GET", "/channels?x=action"), ("POST", "/authkeys?action=x"), ("GET", "/metrics")]
    {
        let answer = app.operator().call(method.parse().unwrap(), path).send().await;
        let refusal = answer.refused(404, "ResourceNotFound");
        let path = path.split('?').next().unwrap();
        assert!(refusal.message.contains(path), "the message names the path, without the query: {refusal:?}");
        assert!(!refusal.message.contains("action"), "{refusal:?}");
    }
}

async fn an_unknown_action_is_named(app: &TestApp) {
    for action in ["bogus", "Activate", "activate%20", "channel-add"] {
        let answer = app.operator().act(FATHER, action).await;
        answer.refused_field("InvalidParameter", "action", "Invalid");
        let answer = app.operator().call(Method::POST, &format!("/images?action={action}")).send().await;
        answer.refused_field("InvalidParameter", "action", "Invalid");
    }
    app.operator().act(FATHER, "").await.refused_field("InvalidParameter", "action", "MissingParameter");
    // A caller who may not change the image is told so first.
    app.luke().act(FATHER, "bogus").await.refused(422, "NotImageOwner");
    app.operator().act(NOBODY, "bogus").await.not_found();
}

async fn slashes_are_joined_but_not_dropped(app: &TestApp) {
    for path in [format!("//images/{BASE}"), format!("/images///{BASE}"), "///ping".to_owned()] {
        app.operator().get(&path).await.ok();
    }
    app.operator().get(&format!("//images//{BASE}//file?x=//")).await.refused(500, "InternalError");
    for path in [
        format!("/images/{BASE}/"),
        format!("/images/{BASE}/file/"),
        "/images/".to_owned(),
        "/ping/".to_owned(),
        "/Images".to_owned(),
        "/PING".to_owned(),
        format!("/images/{BASE}/nothing"),
        format!("/x/images/{BASE}"),
    ] {
        app.operator().get(&path).await.not_found();
    }
}

async fn path_parameters_are_decoded_and_malformed_escapes_refused(app: &TestApp) {
    let escaped = format!("/images/{}%30", &BASE[..BASE.len() - 1]);
    assert_eq!(app.operator().get(&escaped).await.ok()["uuid"], BASE);
    let mut connection = app.connect().await;
    for path in ["/images/%zz", "/images/%", "/images/%4", "/images/%c3%28"] {
        let answer = connection.exchange(&[&format!("GET {path} HTTP/1.1"), "Host: x"]).await;
        answer.refused(400, "BadRequestError");
    }
    for path in [
        "/%ff/images",
        "/nothing/%g0",
        "/images/..",
        "/images/../ping",
        "/images/%2e%2e",
        "/images/..%2f..%2fetc%2fpasswd",
        "/./ping",
    ] {
        let answer = connection.exchange(&[&format!("GET {path} HTTP/1.1"), "Host: x"]).await;
        answer.not_found();
    }
    let file = format!("/images/{}%2ffile", fresh());
    connection.exchange(&[&format!("GET {file} HTTP/1.1"), "Host: x"]).await.not_found();
}

async fn what_is_no_lower_case_uuid_is_not_found(app: &TestApp) {
    let upper = BASE.to_uppercase();
    for uuid in [upper.as_str(), "3dae5131", "x", "%20", "c58161c0-2547-11e2-a75e-9fdca1940570x", "{uuid}"] {
        let refusal =
            app.operator().get(&format!("/images/{uuid}?a=b")).await.refused(404, "ResourceNotFound");
        assert!(refusal.message.contains("?a=b"), "the message has the whole URL: {refusal:?}");
        app.operator().delete(uuid).await.not_found();
        app.operator().upload(uuid, "compression=none", "x").await.not_found();
        app.operator().activate(uuid).await.not_found();
        app.operator().download(uuid).await.not_found();
    }
}

async fn a_preflight_is_answered_for_what_is_mounted(app: &TestApp) {
    let preflight = async |path: &str, method: &str, headers: &str| {
        let call = app.operator().call(Method::OPTIONS, path).header("origin", "http://ui.example.com");
        let call = call.header("access-control-request-method", method);
        call.header("access-control-request-headers", headers).send().await
    };
    let answer = preflight("/images", "POST", "Content-Type, accept-version,x-request-id").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST"));
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("accept-version"));
    assert!(answer.header("x-request-id").is_some() && answer.header("server").is_some());

    for (path, method, headers) in
        [("/images", "PATCH", ""), ("/images", "DELETE", ""), ("/ping", "GET", "x-secret")]
    {
        let answer = preflight(path, method, headers).await;
        answer.refused(405, "MethodNotAllowedError");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    preflight("/nothing", "GET", "").await.not_found();
    app.operator().call(Method::OPTIONS, "/images").send().await.refused(405, "MethodNotAllowedError");
}
