// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AddImageFile.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, LUKE, TestApp, md5_of, sha1_of, tests};

tests! {
    an_upload_is_described_and_stored,
    the_digest_has_to_be_right,
    the_md5_has_to_be_right,
    a_part_is_not_taken_for_the_whole,
    an_empty_file_is_refused,
    the_compression_is_required_and_known,
    a_length_over_the_limit_is_refused_at_once,
    a_body_may_come_in_chunks,
    the_type_of_the_body_does_not_matter,
    operators_choose_the_storage,
    a_file_can_be_replaced_before_the_activation_and_not_after,
    an_aborted_upload_leaves_nothing,
    a_placeholder_takes_a_file,
}

async fn assert_no_file(app: &TestApp, uuid: &str) {
    assert_eq!(app.luke().get_image(uuid).await.ok()["files"], json!([]));
    app.luke().download(uuid).await.not_found();
    assert!(!app.file(uuid).exists());
    app.nothing_unfinished().await;
}

async fn an_upload_is_described_and_stored(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let bytes = vec![7; 3_000_001];
    let sha1 = sha1_of(&bytes);
    let query = format!("compression=bzip2&sha1={sha1}&dataset_guid=9080214691143124906");
    let uploaded = app.luke().upload(&uuid, &query, bytes.clone()).await;
    let expected = json!([{"sha1": sha1, "size": 3_000_001, "compression": "bzip2", "dataset_guid": "9080214691143124906"}]);
    assert_eq!(uploaded.ok()["files"], expected);
    assert_eq!(uploaded.ok()["state"], "unactivated");
    assert_eq!(fs::read(app.file(&uuid)).unwrap(), bytes);
    let archived: Value = serde_json::from_slice(&fs::read(app.archived(&uuid)).unwrap()).unwrap();
    assert_eq!(archived, uploaded.ok());
    let (record, _) = app.stored(&uuid).await.unwrap();
    assert_eq!(record["files"][0]["contentMD5"], md5_of(&bytes));
    app.nothing_unfinished().await;
}

async fn the_digest_has_to_be_right(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let right = sha1_of(b"bytes");
    let upload =
        async |sha1: &str| app.luke().upload(&uuid, &format!("compression=none&sha1={sha1}"), "bytes").await;
    let refusal = upload(&sha1_of(b"other")).await;
    assert!(refusal.refused(400, "Download").message.contains(&right), "{refusal:?}");
    for malformed in ["x", &right[1..], &format!("{right}0"), &right.replacen(&right[..1], "g", 1)] {
        let refusal = upload(malformed).await;
        assert!(refusal.refused(400, "Download").message.contains("sha1"), "{refusal:?}");
    }
    upload("").await.refused_field("InvalidParameter", "sha1", "Invalid");
    assert_no_file(app, &uuid).await;
    for written in [right.to_uppercase(), right] {
        upload(&written).await.ok();
    }
}

async fn the_md5_has_to_be_right(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let put = async |what: &str, md5: &str| {
        let call = app.luke().call(Method::PUT, &format!("/images/{uuid}/{what}"));
        call.header("content-type", "image/png").header("content-md5", md5).body("bytes").send().await
    };
    for what in ["file?compression=none", "icon"] {
        let refusal = put(what, &md5_of(b"other")).await.refused(400, "BadDigest");
        assert!(refusal.message.contains(&md5_of(b"bytes")), "{refusal:?}");
        for malformed in ["", "x", "AAAA", "4b3a6218bb3e3a7303e8a171a60fcf92"] {
            let refusal = put(what, malformed).await.refused(400, "InvalidHeader");
            assert!(refusal.message.contains("Content-MD5"), "{refusal:?}");
        }
    }
    assert_no_file(app, &uuid).await;
    for what in ["file?compression=none", "icon"] {
        put(what, &md5_of(b"bytes")).await.ok();
    }
}

async fn a_part_is_not_taken_for_the_whole(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for (method, path) in [
        (Method::PUT, format!("/images/{uuid}/file?compression=none")),
        (Method::PUT, format!("/images/{uuid}/icon")),
        (Method::POST, format!("/images/{uuid}?action=update")),
        (Method::POST, format!("/images/{uuid}/file/from-url?compression=none")),
    ] {
        let call = app.luke().call(method, &path).header("content-range", "bytes 5-9/10");
        let refusal = call.header("content-type", "image/png").body("bytes").send().await;
        let refusal = refusal.refused(400, "BadRequestError");
        assert!(refusal.message.contains("Content-Range"), "{refusal:?}");
    }
    assert_no_file(app, &uuid).await;
    app.luke().call(Method::GET, &format!("/images/{uuid}/icon")).send().await.not_found();
}

async fn an_empty_file_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    app.luke().upload(&uuid, "compression=none", "").await.refused(400, "Download");
    let mut connection = app.connect().await;
    let head = format!("PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\n");
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")).await;
    connection.read_answer().await.refused(400, "Download");
    assert_no_file(app, &uuid).await;
}

async fn the_compression_is_required_and_known(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let upload = async |query: &str| app.luke().upload(&uuid, query, "bytes").await;
    for missing in ["a=b", "compression=", "Compression=gzip"] {
        upload(missing).await.refused_field("InvalidParameter", "compression", "Missing");
    }
    for wrong in ["zip", "GZIP", "gzip,xz"] {
        let answer = upload(&format!("compression={wrong}")).await;
        answer.refused_field("InvalidParameter", "compression", "Invalid");
    }
    for known in ["gzip", "bzip2", "xz", "none"] {
        let image = upload(&format!("compression={known}")).await.ok();
        assert_eq!(image["files"][0]["compression"], known);
    }
}

async fn a_length_over_the_limit_is_refused_at_once(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let limit: u64 = 20 << 30;
    let mut connection = app.connect().await;
    let head = format!("PUT /images/{uuid}/file?compression=none&account={LUKE} HTTP/1.1\r\nHost: x\r\n");
    connection.send(format!("{head}Content-Length: {}\r\n\r\n", limit + 1)).await;
    let refusal = connection.read_answer().await.refused(400, "Upload");
    assert!(refusal.message.contains(&limit.to_string()), "{refusal:?}");
    assert_no_file(app, &uuid).await;
}

async fn a_body_may_come_in_chunks(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let mut connection = app.connect().await;
    let head = format!("PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\n");
    connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    for chunk in [b"a".as_slice(), &[b'b'; 70_000], b"c"] {
        connection.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
    }
    connection.send("0\r\n\r\n").await;
    assert_eq!(connection.read_answer().await.ok()["files"][0]["size"], 70_002);
}

/// `sdc-imgapi`, a wrapper of curl, always sends the content type of JSON.
async fn the_type_of_the_body_does_not_matter(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for content_type in ["application/json", "text/html", "multipart/form-data; boundary=x", "nonsense"] {
        let call = app.luke().call(Method::PUT, &format!("/images/{uuid}/file?compression=none"));
        let answer = call.header("content-type", content_type).body("{ bytes").send().await;
        assert_eq!(answer.ok()["files"][0]["sha1"], sha1_of(b"{ bytes"), "{content_type}");
    }
}

async fn operators_choose_the_storage(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let refused = app.luke().upload(&uuid, "compression=none&storage=local", "x").await;
    refused.refused_field("InvalidParameter", "storage", "NotAllowed");
    let refused = app.operator().upload(&uuid, "compression=none&storage=nfs", "x").await;
    refused.refused_field("InvalidParameter", "storage", "Invalid");
    for stor in ["local", "manta"] {
        app.operator().upload(&uuid, &format!("compression=none&storage={stor}"), "x").await.ok();
        let image = app.operator().get(&format!("/images/{uuid}?inclAdminFields=true")).await.ok();
        assert_eq!(image["files"][0]["stor"], "local", "there is no other");
    }
}

async fn a_file_can_be_replaced_before_the_activation_and_not_after(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"first").await;
    let second = app.luke().upload(&uuid, "compression=xz", "second").await.ok();
    assert_eq!(second["files"], json!([{"sha1": sha1_of(b"second"), "size": 6, "compression": "xz"}]));
    assert_eq!(app.luke().download(&uuid).await.text(), "second");
    assert_eq!(fs::read(app.file(&uuid)).unwrap(), b"second");
    // A failed upload changes nothing.
    app.luke().upload(&uuid, "compression=none&sha1=x", "third").await.refused(400, "Download");
    assert_eq!(app.luke().download(&uuid).await.text(), "second");
    app.luke().activate(&uuid).await.ok();
    app.luke().upload(&uuid, "compression=none", "third").await.refused(422, "ImageFilesImmutable");
    assert_eq!(app.luke().download(&uuid).await.text(), "second");
    app.nothing_unfinished().await;
}

async fn an_aborted_upload_leaves_nothing(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let head = format!("PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\n");
    let lengths = ["Content-Length: 1000\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"];
    for rest in lengths {
        // A client that closes only its sending side gets an answer; a client that is gone does not.
        let mut connection = app.connect().await;
        connection.send(format!("{head}{rest}")).await;
        connection.finish().await;
        let answer: Answer = connection.read_answer().await;
        answer.refused(400, "BadRequestError");
        let mut connection = app.connect().await;
        connection.send(format!("{head}{rest}")).await;
        drop(connection);
    }
    assert_no_file(app, &uuid).await;
}

async fn a_placeholder_takes_a_file(app: &TestApp) {
    let uuid = super::support::fresh();
    let record = json!({"v": 2, "uuid": uuid, "owner": LUKE, "name": "a", "version": "1", "type": "null", "os": "null",
        "state": "creating", "activated": false, "disabled": false, "public": false, "acl": [],
        "expires_at": "2040-01-01T00:00:00.000Z"});
    app.store(&record).await;
    let image = app.luke().upload(&uuid, "compression=none", "x").await.ok();
    assert_eq!(
        (&image["state"], &image["files"][0]["size"], &image["type"]),
        (&json!("creating"), &json!(1), &json!(null))
    );
    app.luke().call(Method::DELETE, &format!("/images/{uuid}")).send().await.gone();
}
