// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Channels: where an image is visible, and which channel a request is about.

use reqwest::Method;
use serde_json::{Value, json};

use super::configured;
use super::support::{Answer, NOBODY, SDC, TestApp, fresh, merged, replay, tests};

tests! {
    channels_are_listed_as_they_are_configured,
    every_route_knows_the_rules_of_channels,
    without_a_default_a_channel_must_be_named,
    an_image_is_seen_in_its_channels_only,
    an_image_is_added_to_a_channel_once,
    an_imported_image_is_in_the_channel_of_the_request,
    an_image_is_taken_out_of_one_channel_before_it_is_deleted,
    an_image_can_be_deleted_from_all_channels_at_once,
    dependents_keep_their_origin_where_they_are,
    an_update_moves_an_image_between_known_channels,
    older_clients_see_no_channels,
    the_examples_of_the_documentation_are_true,
}

async fn call(app: &TestApp, method: &str, target: &str, body: &Value) -> Answer {
    let call = app.operator().call(method.parse().unwrap(), target).header("accept-version", "~2");
    if body.is_null() { call.send().await } else { call.json(body).send().await }
}

fn public(changes: Value) -> Value {
    merged(
        json!({"owner": SDC, "public": true, "name": "small", "version": "1", "type": "other", "os": "other"}),
        changes,
    )
}

async fn created(app: &TestApp, channel: &str, changes: Value) -> String {
    let image = call(app, "POST", &format!("/images?channel={channel}"), &public(changes)).await.ok();
    image["uuid"].as_str().unwrap().to_owned()
}

/// Creates an active image in several channels.
async fn active_in(app: &TestApp, channels: &[&str], changes: Value) -> String {
    let uuid = created(app, channels[0], changes).await;
    let target = |rest: &str| format!("/images/{uuid}{rest}channel={}", channels[0]);
    let upload = app.operator().call(Method::PUT, &target("/file?compression=none&"));
    upload.body("file").send().await.ok();
    call(app, "POST", &target("?action=activate&"), &Value::Null).await.ok();
    for channel in &channels[1..] {
        call(app, "POST", &target("?action=channel-add&"), &json!({"channel": channel})).await.ok();
    }
    uuid
}

/// Returns the channels of an image, as an operator sees them; empty if the image does not exist.
async fn channels_of(app: &TestApp, uuid: &str) -> Vec<Value> {
    let answer = call(app, "GET", &format!("/images/{uuid}?channel=*"), &Value::Null).await;
    if answer.status == 404 { Vec::new() } else { answer.ok()["channels"].as_array().unwrap().clone() }
}

/// Returns the channels of an image in the archive.
fn archived_channels(app: &TestApp, uuid: &str) -> Value {
    let manifest = std::fs::read(app.archived(uuid)).unwrap();
    serde_json::from_slice::<Value>(&manifest).unwrap()["channels"].clone()
}

async fn channels_are_listed_as_they_are_configured(app: &TestApp) {
    let expected = json!([
        {"name": "dev", "description": "all images", "default": true},
        {"name": "staging", "description": "those that may be released"},
        {"name": "release", "description": "released images", "extra": [1]},
    ]);
    assert_eq!(app.operator().get("/channels?channel=bogus").await.ok(), expected);
    let wrong = call(app, "POST", "/channels", &json!({})).await;
    assert_eq!(wrong.header("allow"), Some("GET"));
    wrong.refused(405, "MethodNotAllowedError");
}

/// Returns the routes: method, path, and whether the route supports all channels at once.
fn routes() -> Vec<(&'static str, String, bool)> {
    let image = |rest: &str| format!("/images/{NOBODY}{rest}");
    vec![
        ("GET", "/images?".into(), true),
        ("GET", image("?"), true),
        ("GET", image("/file?"), true),
        ("HEAD", image("/file?"), true),
        ("GET", image("/jobs?"), true),
        ("POST", "/images?".into(), false),
        ("POST", "/images?action=import-docker-image&".into(), false),
        ("PUT", image("/file?"), false),
        ("POST", image("?action=import&"), false),
        ("POST", image("?action=import-remote&"), false),
        ("POST", image("?action=change-stor&"), false),
        ("POST", image("?action=export&"), false),
        ("POST", image("?action=update&"), false),
        ("POST", image("?action=channel-add&"), false),
        ("POST", image("?action=bogus&"), false),
        ("POST", image("/acl?"), false),
        ("DELETE", image("?"), false),
    ]
}

async fn every_route_knows_the_rules_of_channels(app: &TestApp) {
    let broken = async |method: &str, target: &str| {
        let call =
            app.operator().call(method.parse().unwrap(), target).header("content-type", "application/json");
        if method == "GET" || method == "HEAD" { call.send().await } else { call.body("{").send().await }
    };
    for (method, path, takes_all) in routes() {
        for channel in ["channel=bogus", "channel=Dev", "channel=dev&channel=dev", "channel[a]=dev"] {
            // The channel is checked before the body, the account and the image.
            let answer = broken(method, &format!("{path}{channel}&account=x&inclAdminFields=x")).await;
            if method == "HEAD" {
                assert_eq!(answer.status, 422, "{path}{channel}");
            } else {
                answer.refused_field("ValidationFailed", "channel", "Invalid");
            }
        }
        let all = broken(method, &format!("{path}channel=*")).await;
        assert_eq!(all.status == 422, !takes_all, "{method} {path}: {all:?}");
        let default = broken(method, &format!("{path}channel=")).await;
        assert_ne!(default.status, 422, "{method} {path}: {default:?}");
        // The syntax of the UUID is checked first.
        if path.contains(NOBODY) {
            let answer = broken(method, &format!("{}channel=bogus", path.replace(NOBODY, "x"))).await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    // Pushing ignores channels.
    let push = call(app, "POST", &format!("/images/{NOBODY}/push?channel=bogus"), &json!({})).await;
    push.not_found();
}

async fn without_a_default_a_channel_must_be_named(_: &TestApp) {
    let channels = json!([{"name": "a", "description": "x", "default": false}]);
    let app = configured(json!({"mode": "private", "channels": channels})).await;
    for (method, path, _) in routes() {
        if method != "HEAD" {
            let answer = call(&app, method, &path, &Value::Null).await;
            answer.refused_field("ValidationFailed", "channel", "MissingParameter");
        }
    }
    assert_eq!(app.operator().list("channel=*").await, Vec::<Value>::new());
    app.operator().get("/ping").await.ok();
    app.stop().await;
}

async fn an_image_is_seen_in_its_channels_only(app: &TestApp) {
    let uuid = active_in(app, &["staging", "release"], json!({"name": "seen"})).await;
    for (channel, seen) in [("", false), ("dev", false), ("staging", true), ("release", true), ("*", true)] {
        for rest in ["", "/file"] {
            let answer = app.operator().get(&format!("/images/{uuid}{rest}?channel={channel}")).await;
            assert_eq!(answer.status, if seen { 200 } else { 404 }, "{channel:?} {rest}");
        }
        let listed = app.operator().list_uuids(&format!("name=seen&channel={channel}")).await;
        assert_eq!(listed.contains(&uuid), seen, "{channel:?}");
    }
    // The image cannot be changed through another channel either, not even by an operator.
    for (method, rest) in [("POST", "?action=disable&"), ("POST", "/acl?"), ("DELETE", "?")] {
        call(app, method, &format!("/images/{uuid}{rest}channel=dev"), &json!([])).await.not_found();
    }
    assert_eq!(channels_of(app, &uuid).await, ["staging", "release"]);
}

async fn an_image_is_added_to_a_channel_once(app: &TestApp) {
    let uuid = created(app, "dev", json!({"channels": ["release", "bogus"]})).await;
    assert_eq!(channels_of(app, &uuid).await, ["dev"], "what the manifest says does not count");
    let add =
        async |body: Value| call(app, "POST", &format!("/images/{uuid}?action=channel-add"), &body).await;
    let added = add(json!({"channel": "release"})).await;
    assert_eq!(added.ok()["channels"], json!(["dev", "release"]));
    assert_eq!(archived_channels(app, &uuid), json!(["dev", "release"]));
    let again = add(json!({"channel": "release"})).await;
    assert_eq!((&again.body, again.header("etag")), (&added.body, added.header("etag")));
    for body in [
        json!({}),
        json!({"channel": "bogus"}),
        json!({"channel": "*"}),
        json!({"channel": 5}),
        json!(["dev"]),
    ] {
        add(body).await.refused_field("ValidationFailed", "channel", "Invalid");
    }
    let absent = app.operator().act(&uuid, "channel-add").await;
    absent.refused_field("ValidationFailed", "body", "MissingParameter");
    let target = format!("/images/{uuid}?action=channel-add");
    let stale =
        app.operator().call(Method::POST, &target).header("if-match", "x").json(&json!({})).send().await;
    stale.refused(412, "PreconditionFailed");
}

async fn an_imported_image_is_in_the_channel_of_the_request(app: &TestApp) {
    let uuid = fresh();
    let manifest = public(json!({"uuid": uuid, "v": 2, "channels": ["dev"]}));
    let import = format!("/images/{uuid}?action=import&channel=staging");
    let image = call(app, "POST", &import, &manifest).await.ok();
    assert_eq!(image["channels"], json!(["staging"]));
    // A standalone server has no accounts, so imported images have no owner.
    assert_eq!(image["owner"], "00000000-0000-0000-0000-000000000000");
    // The UUID is in use in every channel.
    let elsewhere = format!("/images/{uuid}?action=import&channel=dev");
    call(app, "POST", &elsewhere, &manifest).await.refused(409, "ImageUuidAlreadyExists");
}

async fn an_image_is_taken_out_of_one_channel_before_it_is_deleted(app: &TestApp) {
    let uuid = active_in(app, &["dev", "release"], json!({})).await;
    let delete =
        async |query: &str| call(app, "DELETE", &format!("/images/{uuid}?{query}"), &Value::Null).await;
    delete("channel=release&force_all_channels=x").await.refused_field(
        "InvalidParameter",
        "force_all_channels",
        "Invalid",
    );
    delete("channel=release&force_all_channels=false").await.gone();
    assert_eq!(channels_of(app, &uuid).await, ["dev"]);
    assert_eq!(archived_channels(app, &uuid), json!(["dev"]));
    delete("channel=release").await.not_found();
    assert_eq!(app.operator().download(&uuid).await.text(), "file");
    delete("").await.gone();
    assert!(channels_of(app, &uuid).await.is_empty() && !app.file(&uuid).exists());
}

async fn an_image_can_be_deleted_from_all_channels_at_once(app: &TestApp) {
    let uuid = active_in(app, &["dev", "staging", "release"], json!({})).await;
    let target = format!("/images/{uuid}?channel=staging&force_all_channels=true");
    call(app, "DELETE", &target, &Value::Null).await.gone();
    assert!(channels_of(app, &uuid).await.is_empty() && !app.file(&uuid).exists());
}

async fn dependents_keep_their_origin_where_they_are(app: &TestApp) {
    let origin = active_in(app, &["dev", "staging", "release"], json!({})).await;
    let child = created(app, "staging", json!({"origin": origin})).await;
    let delete =
        async |query: &str| call(app, "DELETE", &format!("/images/{origin}?{query}"), &Value::Null).await;
    delete("channel=staging").await.refused(422, "ImageHasDependentImages");
    delete("channel=release").await.gone();
    delete("channel=dev&force_all_channels=true").await.refused(422, "ImageHasDependentImages");
    assert_eq!(channels_of(app, &origin).await, ["dev", "staging"]);
    // The last channel of an origin cannot be removed while a dependent exists in any channel.
    let target = format!("/images/{origin}?action=update");
    call(app, "POST", &target, &json!({"channels": ["dev"]})).await.ok();
    delete("channel=dev").await.refused(422, "ImageHasDependentImages");
    call(app, "DELETE", &format!("/images/{child}?channel=staging"), &Value::Null).await.gone();
    delete("channel=dev").await.gone();
}

async fn an_update_moves_an_image_between_known_channels(app: &TestApp) {
    let uuid = created(app, "dev", json!({})).await;
    let update = async |channels: Value| {
        call(app, "POST", &format!("/images/{uuid}?action=update"), &json!({"channels": channels})).await
    };
    for channels in [json!([]), json!(["bogus"]), json!(["dev", "Release"]), json!("dev"), json!([1])] {
        update(channels).await.refused_field("ValidationFailed", "channels", "Invalid");
    }
    update(json!(null)).await.refused_field("ValidationFailed", "channels", "MissingParameter");
    assert_eq!(update(json!(["release", "staging"])).await.ok()["channels"], json!(["release", "staging"]));
    update(json!(["dev"])).await.not_found();
}

async fn older_clients_see_no_channels(app: &TestApp) {
    let uuid = created(app, "dev", json!({})).await;
    for (version, seen) in [("~1", false), (">=1", true), ("~2", true), ("*", true)] {
        let call =
            app.operator().call(Method::GET, &format!("/images/{uuid}")).header("accept-version", version);
        assert_eq!(call.send().await.ok().get("channels").is_some(), seen, "{version}");
    }
}

async fn the_examples_of_the_documentation_are_true(_: &TestApp) {
    let app = configured(json!({
        "mode": "public",
        "channels": [
            {"name": "dev", "description": "all images", "default": true},
            {"name": "release", "description": "released images"},
        ],
    }))
    .await;
    replay(&app, "http channels", &[]).await;
    app.stop().await;
}
