// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Request bodies that are parsed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::support::{Call, Connection, FATHER, LUKE, TestApp, md5_of, small_manifest, tests};

tests! {
    what_is_not_json_is_refused,
    the_type_decides_how_a_body_is_read,
    a_digest_is_verified,
    a_compressed_body_is_decompressed,
    a_body_may_come_in_chunks,
    a_body_may_not_be_too_large,
    a_broken_body_gets_an_answer,
    mistakes_without_end_make_a_short_answer,
    only_chunks_may_be_a_coding_of_the_transfer,
}

fn create(app: &TestApp, content_type: &str) -> Call {
    app.luke().call(Method::POST, "/images").header("content-type", content_type)
}

async fn what_is_not_json_is_refused(app: &TestApp) {
    let valid = small_manifest().to_string();
    let deep = "[".repeat(200) + &"]".repeat(200);
    let bodies: [&[u8]; 8] = [
        b"{",
        b"nul",
        b"{\"a\":1,}",
        b"\xff",
        b"{\"name\":\"\xff\"}",
        b"{\"a\":NaN}",
        deep.as_bytes(),
        b"'a'",
    ];
    for body in bodies.map(<[u8]>::to_vec).into_iter().chain([format!("{valid} x").into_bytes()]) {
        create(app, "application/json").body(body).send().await.refused(400, "InvalidContent");
    }
    // An action that needs no body still reads one.
    let call = app.operator().call(Method::POST, &format!("/images/{FATHER}?action=activate"));
    call.header("content-type", "application/json").body("{").send().await.refused(400, "InvalidContent");
}

async fn the_type_decides_how_a_body_is_read(app: &TestApp) {
    let body = small_manifest().to_string();
    for json in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        create(app, json).body(body.clone()).send().await.ok();
    }
    for other in [
        "text/plain",
        "application/xml",
        "text/csv",
        "application/octet-stream",
        "multipart/form-data; boundary=X",
        "nonsense",
        "",
    ] {
        let answer = create(app, other).body(body.clone()).send().await;
        answer.refused_field("ValidationFailed", "body", "MissingParameter");
    }
    // The body as `curl -d` sends it. A body that is a form is still parsed as one.
    let form = "application/x-www-form-urlencoded";
    create(app, form).body(format!(" {body}\n")).send().await.ok();
    for (text, missing) in
        [("name=a&version=1", &["type", "os"][..]), ("name=a&version=1&type=other", &["os"])]
    {
        let refused = create(app, form).body(text).send().await.refused(422, "ValidationFailed");
        assert_eq!(refused.fields.iter().map(|(field, _)| field).collect::<Vec<_>>(), missing);
    }
    let broken = format!("{body}}}");
    create(app, form).body(broken.clone()).send().await.refused_field("InvalidParameter", &broken, "Invalid");
}

async fn a_digest_is_verified(app: &TestApp) {
    let body = small_manifest().to_string();
    let right = md5_of(&body);
    create(app, "application/json").header("content-md5", &right).body(body.clone()).send().await.ok();
    let wrong = create(app, "application/json").header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").body(body);
    wrong.send().await.refused(400, "BadDigest");
}

async fn a_compressed_body_is_decompressed(app: &TestApp) {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let encoded = |encoding: &str, body: Vec<u8>| {
        create(app, "application/json").header("content-encoding", encoding).body(body)
    };
    let manifest = small_manifest().to_string();
    encoded("gzip", gzip(manifest.as_bytes())).send().await.ok();
    encoded("gzip", manifest.clone().into_bytes()).send().await.refused(400, "InvalidContent");
    encoded("br", manifest.into_bytes()).send().await.refused(400, "InvalidContent");
    encoded("gzip", gzip(&vec![b' '; 16 << 20])).send().await.refused(413, "RequestEntityTooLarge");
}

async fn a_body_may_come_in_chunks(app: &TestApp) {
    let body = small_manifest().to_string();
    let mut connection = Connection::open(app.address()).await;
    let head = format!(
        "POST /images?account={LUKE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.send(head).await;
    for byte in body.as_bytes() {
        connection.send([b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat()).await;
    }
    connection.send("0\r\n\r\n").await;
    assert_eq!(connection.read_answer().await.ok()["name"], "small");
    // The connection stays usable.
    assert_eq!(connection.exchange(&["GET /ping HTTP/1.1", "Host: x"]).await.status, 200);
}

async fn a_body_may_not_be_too_large(app: &TestApp) {
    let padded = |length: usize| {
        let mut body = small_manifest().to_string();
        body.push_str(&" ".repeat(length - body.len()));
        body
    };
    create(app, "application/json").body(padded(4 << 20)).send().await.ok();
    create(app, "application/json")
        .body(padded((4 << 20) + 1))
        .send()
        .await
        .refused(413, "RequestEntityTooLarge");
    // The answer comes at once if the announced length is too large, before any of the body is sent.
    let mut connection = Connection::open(app.address()).await;
    let head = [
        "POST /images HTTP/1.1",
        "Host: imgapi",
        "Content-Type: application/json",
        "Content-Length: 4194305",
    ];
    connection.exchange(&head).await.refused(413, "RequestEntityTooLarge");
}

async fn a_broken_body_gets_an_answer(app: &TestApp) {
    let mut connection = Connection::open(app.address()).await;
    let head =
        format!("POST /images?account={LUKE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    connection.send(format!("{head}Content-Length: 100\r\n\r\n{{")).await;
    connection.finish().await;
    connection.read_answer().await.refused(400, "BadRequestError");
    let mut connection = Connection::open(app.address()).await;
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n")).await;
    connection.read_answer().await.refused(400, "BadRequestError");
}

async fn mistakes_without_end_make_a_short_answer(app: &TestApp) {
    let networks: Vec<_> = (0..90_000).map(|_| json!({"name": 1})).collect();
    let members =
        |of: &dyn Fn(usize) -> String| (0..100_000).map(|n| (of(n), json!(1))).collect::<Map<_, _>>();
    for (member, value) in [
        ("requirements", json!({"networks": networks})),
        ("requirements", Value::Object(members(&|n| format!("a{n}")))),
        ("x".repeat(1 << 20).as_str(), json!(1)),
    ] {
        let mut manifest = small_manifest();
        manifest[member] = value;
        let answer = create(app, "application/json").body(manifest.to_string()).send().await;
        assert_eq!(answer.status, 422, "{}", member.len());
        assert!(answer.body.len() < 512 << 10, "{} bytes", answer.body.len());
        let refusal: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!((1..=100).contains(&refusal["errors"].as_array().unwrap().len()));
    }
}

async fn only_chunks_may_be_a_coding_of_the_transfer(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for (coding, status) in [("gzip, chunked", 400), ("chunked, chunked", 400), ("Chunked", 200)] {
        let mut connection = Connection::open(app.address()).await;
        let head = format!(
            "PUT /images/{uuid}/file?compression=none&account={LUKE} HTTP/1.1\r\nHost: x\r\n\
             Transfer-Encoding: {coding}\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        );
        connection.send(head).await;
        assert_eq!(connection.read_answer().await.status, status, "{coding}");
    }
}
