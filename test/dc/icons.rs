// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AddImageIcon, GetImageIcon and DeleteImageIcon.

use std::fs;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::json;

use super::support::{
    Actor, Answer, FATHER, JOIN_US, LUKE, NOBODY, TestApp, fresh, sha1_of, small_record, tests, wait_until,
};

tests! {
    an_icon_is_stored_shown_and_deleted,
    an_icon_is_replaced_in_any_state,
    what_is_no_icon_is_refused,
    an_icon_has_a_largest_size,
    head_and_conditions_compare_what_is_sent,
    who_sees_an_image_sees_its_icon,
    mistakes_are_told_in_order,
    an_icon_goes_where_its_image_goes,
    an_interrupted_icon_is_swept_up,
    a_lost_or_foreign_icon_is_told_from_none,
}

const PNG: &str = "image/png";

async fn put(actor: Actor<'_>, uuid: &str, query: &str, content_type: &str, bytes: &[u8]) -> Answer {
    let call = actor.call(Method::PUT, &format!("/images/{uuid}/icon{query}"));
    call.header("content-type", content_type).body(bytes.to_vec()).send().await
}

async fn get(actor: Actor<'_>, uuid: &str) -> Answer {
    actor.get(&format!("/images/{uuid}/icon")).await
}

async fn remove(actor: Actor<'_>, uuid: &str) -> Answer {
    actor.call(Method::DELETE, &format!("/images/{uuid}/icon")).send().await
}

fn icon_of(app: &TestApp, uuid: &str) -> PathBuf {
    app.file(uuid).with_file_name("icon")
}

async fn an_icon_is_stored_shown_and_deleted(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let added = put(app.luke(), &uuid, &format!("?sha1={}", sha1_of(b"icon")), PNG, b"icon").await;
    assert_eq!(added.ok()["icon"], json!(true));
    let read = app.luke().get_image(&uuid).await;
    assert_eq!((&read.body, read.header("etag")), (&added.body, added.header("etag")));
    // The record as 4.13.1 stores it.
    let (record, _) = app.stored(&uuid).await.unwrap();
    let mtime = record["icon"]["mtime"].as_str().unwrap();
    let expected = json!({"contentType": PNG, "size": 4, "contentMD5": record["icon"]["contentMD5"], "sha1": sha1_of(b"icon"),
        "mtime": mtime, "stor": "local"});
    assert_eq!(record["icon"], expected);
    assert_eq!(fs::read(icon_of(app, &uuid)).unwrap(), b"icon");

    let icon = get(app.luke(), &uuid).await;
    assert_eq!((icon.status, icon.text()), (200, "icon"));
    assert_eq!((icon.header("content-type"), icon.header("content-length")), (Some(PNG), Some("4")));
    assert_eq!(icon.header("content-md5"), record["icon"]["contentMD5"].as_str());
    assert_eq!(icon.header("etag"), record["icon"]["sha1"].as_str());
    assert!(icon.header("last-modified").is_some());

    let removed = remove(app.luke(), &uuid).await;
    assert_eq!(removed.ok().get("icon"), None);
    let read = app.luke().get_image(&uuid).await;
    assert_eq!((&read.body, read.header("etag")), (&removed.body, removed.header("etag")));
    assert!(!icon_of(app, &uuid).exists() && app.file(&uuid).exists());
    get(app.luke(), &uuid).await.not_found();
    remove(app.luke(), &uuid).await.not_found();
    app.nothing_unfinished().await;
}

async fn an_icon_is_replaced_in_any_state(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for (content_type, bytes) in [(PNG, b"one"), ("image/jpeg", b"two"), ("image/gif", b"gif")] {
        put(app.luke(), &uuid, "", content_type, bytes).await.ok();
        let icon = get(app.luke(), &uuid).await;
        assert_eq!((&icon.body[..], icon.header("content-type")), (&bytes[..], Some(content_type)));
    }
    app.luke().upload(&uuid, "compression=none", "x").await.ok();
    app.luke().activate(&uuid).await.ok();
    put(app.operator(), &uuid, "?storage=local", PNG, b"four").await.ok();
    app.luke().act(&uuid, "disable").await.ok();
    put(app.luke(), &uuid, "", PNG, b"five").await.ok();
    assert_eq!(get(app.luke(), &uuid).await.text(), "five");
    assert_eq!(app.luke().download(&uuid).await.text(), "x");
}

async fn what_is_no_icon_is_refused(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    put(app.luke(), &uuid, "", PNG, b"first").await.ok();
    for content_type in
        ["image/svg+xml", "image/PNG", "image/png; x=y", "application/octet-stream", "text/html"]
    {
        put(app.luke(), &uuid, "", content_type, b"x").await.refused(400, "Upload");
    }
    let untyped = app.luke().call(Method::PUT, &format!("/images/{uuid}/icon")).body("x").send().await;
    untyped.refused(400, "Upload");
    put(app.luke(), &uuid, "", PNG, b"").await.refused(400, "Upload");
    put(app.luke(), &uuid, &format!("?sha1={}", sha1_of(b"y")), PNG, b"x").await.refused(400, "Upload");
    assert_eq!(get(app.luke(), &uuid).await.text(), "first");
    app.nothing_unfinished().await;
}

async fn an_icon_has_a_largest_size(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let largest = vec![7; 128 << 10];
    put(app.luke(), &uuid, "", PNG, &largest).await.ok();
    assert_eq!(get(app.luke(), &uuid).await.body, largest);
    let refused = put(app.luke(), &uuid, "", PNG, &vec![7; (128 << 10) + 1]).await;
    refused.refused(400, "Upload");
    // The body was not read, so the client must not reuse the connection.
    assert_eq!(refused.header("connection"), Some("close"));
    // The limit also applies if the length is not announced.
    let chunks = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![1; 64 << 10])));
    let call = app.luke().call(Method::PUT, &format!("/images/{uuid}/icon")).header("content-type", PNG);
    call.body(reqwest::Body::wrap_stream(chunks)).send().await.refused(400, "Upload");
    assert_eq!(get(app.luke(), &uuid).await.body, largest);
    app.nothing_unfinished().await;
}

async fn head_and_conditions_compare_what_is_sent(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    put(app.luke(), &uuid, "", PNG, b"icon").await.ok();
    let sent = get(app.luke(), &uuid).await;
    let head = app.luke().call(Method::HEAD, &format!("/images/{uuid}/icon")).send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "content-md5", "etag", "last-modified"] {
        assert_eq!(head.header(name), sent.header(name), "{name}");
    }
    let conditional = async |name: &str, value: &str| {
        app.luke().call(Method::GET, &format!("/images/{uuid}/icon")).header(name, value).send().await
    };
    let etag = sent.header("etag").unwrap();
    let unchanged = conditional("if-none-match", etag).await;
    assert_eq!((unchanged.status, unchanged.header("etag"), unchanged.body.len()), (304, Some(etag), 0));
    assert_eq!(conditional("if-modified-since", sent.header("last-modified").unwrap()).await.status, 304);
    conditional("if-match", "x").await.refused(412, "PreconditionFailed");
    let manifest = app.luke().get_image(&uuid).await;
    assert_eq!(conditional("if-none-match", manifest.header("etag").unwrap()).await.status, 200);
}

async fn who_sees_an_image_sees_its_icon(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({"public": true}), b"x").await;
    put(app.luke(), &uuid, "", PNG, b"icon").await.ok();
    get(app.vader(), &uuid).await.not_found();
    app.luke().activate(&uuid).await.ok();
    assert_eq!(get(app.vader(), &uuid).await.text(), "icon");
    put(app.vader(), &uuid, "", PNG, b"x").await.refused(422, "NotImageOwner");
    remove(app.vader(), &uuid).await.refused(422, "NotImageOwner");
}

async fn mistakes_are_told_in_order(app: &TestApp) {
    put(app.operator(), "x", "?account=x", "x", b"").await.not_found();
    let account = put(app.operator(), NOBODY, "?account=x", "x", b"").await;
    account.refused_field("InvalidParameter", "account", "Invalid");
    put(app.luke(), NOBODY, "", "x", b"").await.not_found();
    put(app.luke(), JOIN_US, "", "x", b"").await.not_found();
    put(app.luke(), FATHER, "", "x", b"").await.refused(422, "NotImageOwner");
    let uuid = app.luke().has_image(json!({})).await;
    put(app.luke(), &uuid, "?storage=x", "x", b"").await.refused(400, "Upload");
    let storage = put(app.luke(), &uuid, "?storage=x", PNG, b"").await;
    storage.refused_field("InvalidParameter", "storage", "NotAllowed");
    let storage = put(app.operator(), &uuid, "?storage=x", PNG, b"").await;
    storage.refused_field("InvalidParameter", "storage", "Invalid");
    put(app.operator(), &uuid, "?storage=manta", PNG, b"").await.refused(400, "Upload");
    get(app.luke(), &uuid).await.not_found();
    get(app.luke(), JOIN_US).await.not_found();
    remove(app.luke(), FATHER).await.refused(422, "NotImageOwner");
    remove(app.vader(), FATHER).await.not_found();
    let moved = app.operator().act(&uuid, "change-stor&stor=local").await;
    moved.refused_field("ValidationFailed", "files", "Invalid");
    put(app.luke(), &uuid, "", PNG, b"icon").await.ok();
    app.operator().act(&uuid, "change-stor&stor=local").await.refused(400, "NotImplemented");
}

async fn an_icon_goes_where_its_image_goes(app: &TestApp) {
    let (old, new) = (app.luke().has_image_with_file(json!({}), b"x").await, fresh());
    put(app.luke(), &old, "", PNG, b"icon").await.ok();
    let target = format!("/images/{old}?action=update");
    app.operator().call(Method::POST, &target).json(&json!({"uuid": new})).send().await.ok();
    assert_eq!(get(app.luke(), &new).await.text(), "icon");
    assert!(!icon_of(app, &old).exists() && icon_of(app, &new).exists());
    app.luke().delete(&new).await.gone();
    assert!(!icon_of(app, &new).parent().unwrap().exists());
}

/// A process that stops between the record and the last rename leaves the icon under the name of a complete upload.
async fn an_interrupted_icon_is_swept_up(_: &TestApp) {
    let mut app = TestApp::start_empty().await;
    let (named, unnamed) = (app.luke().has_image(json!({})).await, app.luke().has_image(json!({})).await);
    let complete = |uuid: &str| app.incoming().join(format!("{uuid}.icon.{}", sha1_of(b"icon")));
    put(app.luke(), &named, "", PNG, b"icon").await.ok();
    fs::rename(icon_of(&app, &named), complete(&named)).unwrap();
    fs::write(complete(&unnamed), "icon").unwrap();
    assert_eq!(get(app.luke(), &named).await.text(), "icon");
    app.dc.restart_imgapi().await.unwrap();
    app.nothing_unfinished().await;
    assert_eq!(fs::read(icon_of(&app, &named)).unwrap(), b"icon");
    assert!(!icon_of(&app, &unnamed).exists());
    wait_until("the image is read again", async || {
        (get(app.luke(), &named).await.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}

async fn a_lost_or_foreign_icon_is_told_from_none(app: &TestApp) {
    let icon = |stor: &str| json!({"contentType": PNG, "size": 4, "sha1": sha1_of(b"icon"), "stor": stor});
    let (lost, manta) =
        (small_record(json!({"icon": icon("local")})), small_record(json!({"icon": icon("manta")})));
    app.store_all(&[lost.clone(), manta.clone()]).await;
    get(app.operator(), lost["uuid"].as_str().unwrap()).await.refused(500, "InternalError");
    let manta = manta["uuid"].as_str().unwrap();
    get(app.operator(), manta).await.refused(503, "StorageUnsupported");
    remove(app.operator(), manta).await.refused(503, "StorageUnsupported");
    let lost = lost["uuid"].as_str().unwrap();
    assert_eq!(remove(app.operator(), lost).await.ok().get("icon"), None);
    let call = app.luke().call(Method::GET, &format!("/images/{lost}/icon?account={LUKE}"));
    call.send().await.refused(422, "InvalidParameter");
}
