// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! GetImageFile.

use std::fs;

use reqwest::Method;
use serde_json::json;

use super::support::{
    ADMIN, BASE, FATHER, JOIN_US, LUKE, NOBODY, NODEJS, TestApp, fresh, md5_of, sha1_of, small_record, tests,
};

tests! {
    a_file_comes_as_it_was_sent,
    head_says_what_get_would_send,
    a_file_is_chosen_by_the_number_the_index_begins_with,
    who_sees_the_image_gets_the_file,
    files_of_4_13_1_are_served_from_their_place,
    a_missing_or_damaged_file_is_our_mistake,
    a_file_in_a_storage_that_is_not_there_is_unsupported,
}

async fn a_file_comes_as_it_was_sent(app: &TestApp) {
    let uuid = app.luke().has_image(json!({"public": true})).await;
    let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n >> 8) as u8).collect();
    app.luke().upload(&uuid, "compression=gzip", bytes.clone()).await.ok();
    app.luke().activate(&uuid).await.ok();
    let file = app.vader().download(&uuid).await;
    assert_eq!((file.status, file.body == bytes), (200, true));
    assert_eq!(file.header("content-type"), Some("application/octet-stream"));
    assert_eq!(file.header("content-length"), Some("5000000"));
    assert_eq!(file.header("etag"), Some(sha1_of(&bytes).as_str()));
    assert_eq!(file.header("content-md5").unwrap(), md5_of(&bytes));
    assert_eq!(file.header("accept-ranges"), Some("bytes"));
    let (record, _) = app.stored(&uuid).await.unwrap();
    let mtime = uploaded_at(record["files"][0]["mtime"].as_str().unwrap());
    assert_eq!(file.header("last-modified").unwrap(), mtime);
}

/// Formats an ISO time as HTTP does.
fn uploaded_at(iso: &str) -> String {
    let time = time::OffsetDateTime::parse(iso, &time::format_description::well_known::Rfc3339).unwrap();
    httpdate::fmt_http_date(time.into())
}

async fn head_says_what_get_would_send(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let file = app.luke().download(&uuid).await;
    let head = app.luke().call(Method::HEAD, &format!("/images/{uuid}/file")).send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["accept-ranges", "content-length", "content-type", "content-md5", "etag", "last-modified"] {
        assert_eq!(head.header(name), file.header(name), "{name}");
    }
    let unknown = app.luke().call(Method::HEAD, &format!("/images/{NOBODY}/file")).send().await;
    assert_eq!((unknown.status, unknown.body.len()), (404, 0));
    // The connection stays in step afterwards.
    let mut connection = app.connect().await;
    let head = format!("HEAD /images/{uuid}/file HTTP/1.1");
    assert_eq!(connection.exchange(&[&head, "Host: x"]).await.header("content-length"), Some("4"));
    assert_eq!(connection.exchange(&["GET /ping HTTP/1.1", "Host: x"]).await.ok()["ping"], "pong");
}

async fn a_file_is_chosen_by_the_number_the_index_begins_with(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    for index in ["0", "", "abc", "0x1", "00"] {
        assert_eq!(
            app.luke().get(&format!("/images/{uuid}/file?index={index}")).await.text(),
            "file",
            "{index:?}"
        );
    }
    for (index, told) in [
        ("1", "1"),
        ("1x", "1"),
        ("%2B2", "2"),
        ("-9", "-9"),
        ("-9x", "-9"),
        ("99999999999999999999", "99999999999999999999"),
    ] {
        let answer = app.luke().get(&format!("/images/{uuid}/file?index={index}")).await;
        answer.not_found();
        assert_eq!(answer.json()["message"], format!("image {uuid} has no file {told}"));
    }
    let draft = app.luke().has_image(json!({})).await;
    app.luke().download(&draft).await.not_found();
    app.luke().download(NOBODY).await.not_found();
    // An image of type lxd has two files.
    let entry = |bytes: &[u8]| json!({"sha1": sha1_of(bytes), "size": bytes.len(), "compression": "none", "stor": "local"});
    let lxd = fresh();
    app.store(&small_record(
        json!({"uuid": lxd, "type": "lxd", "os": "linux", "files": [entry(b"meta"), entry(b"root")]}),
    ))
    .await;
    fs::create_dir_all(app.file(&lxd).parent().unwrap()).unwrap();
    fs::write(app.file(&lxd), "meta").unwrap();
    fs::write(app.file(&lxd).with_file_name("file1"), "root").unwrap();
    assert_eq!(app.operator().get(&format!("/images/{lxd}/file")).await.text(), "meta");
    let second = app.operator().get(&format!("/images/{lxd}/file?index=1")).await;
    assert_eq!((second.text(), second.header("etag")), ("root", Some(sha1_of(b"root").as_str())));
    app.operator().get(&format!("/images/{lxd}/file?index=2")).await.not_found();
}

async fn who_sees_the_image_gets_the_file(app: &TestApp) {
    let shared = app.luke().has_active_image(json!({"acl": [ADMIN]})).await;
    for actor in [app.luke(), app.admin(), app.operator()] {
        assert_eq!(actor.download(&shared).await.text(), "file");
    }
    app.emperor().download(&shared).await.not_found();
    // Operators and the owner can download a file even before the activation.
    let draft = app.luke().has_image_with_file(json!({"public": true}), b"draft").await;
    assert_eq!(app.operator().download(&draft).await.text(), "draft");
    app.emperor().download(&draft).await.not_found();
    app.luke().download(JOIN_US).await.not_found();
}

async fn files_of_4_13_1_are_served_from_their_place(app: &TestApp) {
    // The record says 42 bytes. It has neither their MD5 in base64 nor a time.
    let bytes = [9; 42];
    fs::create_dir_all(app.file(NODEJS).parent().unwrap()).unwrap();
    fs::write(app.file(NODEJS), bytes).unwrap();
    let file = app.vader().download(NODEJS).await;
    assert_eq!((file.status, &file.body[..]), (200, &bytes[..]));
    assert_eq!(file.header("etag"), Some("25592745c0b06822e0a4c9e9945e67322bdfe619"));
    assert_eq!((file.header("content-md5"), file.header("last-modified")), (None, None));
}

async fn a_missing_or_damaged_file_is_our_mistake(app: &TestApp) {
    let no_success = |answer: super::support::Answer| {
        answer.refused(500, "InternalError");
        for name in ["etag", "content-md5", "last-modified"] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
    };
    no_success(app.operator().download(BASE).await);
    no_success(app.operator().download(FATHER).await);
    let uuid = app.luke().has_active_image(json!({})).await;
    fs::write(app.file(&uuid), "fil").unwrap();
    no_success(app.luke().download(&uuid).await);
    fs::remove_file(app.file(&uuid)).unwrap();
    no_success(app.luke().download(&uuid).await);
}

async fn a_file_in_a_storage_that_is_not_there_is_unsupported(app: &TestApp) {
    let uuid = fresh();
    let file = json!({"sha1": sha1_of(b"x"), "size": 1, "compression": "none", "stor": "manta"});
    app.store(&small_record(json!({"uuid": uuid, "owner": LUKE, "files": [file]}))).await;
    app.luke().download(&uuid).await.refused(503, "StorageUnsupported");
    let image = app.operator().get(&format!("/images/{uuid}?inclAdminFields=true")).await.ok();
    assert_eq!(image["files"][0]["stor"], "manta");
    app.luke().delete(&uuid).await.gone();
}
