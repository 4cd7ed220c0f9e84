// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! EnableImage and DisableImage.

use reqwest::Method;
use serde_json::json;

use super::support::{FATHER, JOIN_US, LUKE, NOBODY, TestApp, small_record, tests};

tests! {
    the_state_follows_the_flags,
    a_failed_image_becomes_active_again,
    only_the_owner_may,
    conditions_hold_for_the_version_that_is_changed,
}

async fn the_state_follows_the_flags(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"x").await;
    for (action, disabled, state) in [
        ("disable", true, "unactivated"),
        ("activate", true, "disabled"),
        ("enable", false, "active"),
        ("enable", false, "active"),
        ("disable", true, "disabled"),
        ("disable", true, "disabled"),
    ] {
        let answer = app.luke().act(&uuid, action).await;
        let image = answer.ok();
        assert_eq!((&image["disabled"], &image["state"]), (&json!(disabled), &json!(state)), "{action}");
        let read = app.luke().get_image(&uuid).await;
        assert_eq!((&read.body, read.header("etag")), (&answer.body, answer.header("etag")));
    }
    let listed = app.luke().list_uuids(&format!("owner={LUKE}&state=disabled")).await;
    assert!(listed.contains(&uuid));
}

async fn a_failed_image_becomes_active_again(app: &TestApp) {
    let record = small_record(json!({"state": "failed", "error": {"message": "x"}}));
    app.store(&record).await;
    let uuid = record["uuid"].as_str().unwrap();
    assert_eq!(app.operator().get_image(uuid).await.ok()["error"]["message"], "x");
    let image = app.operator().act(uuid, "enable").await.ok();
    assert_eq!((&image["state"], image.get("error")), (&json!("active"), None));
}

async fn only_the_owner_may(app: &TestApp) {
    for action in ["enable", "disable"] {
        app.luke().act(FATHER, action).await.refused(422, "NotImageOwner");
        app.luke().act(JOIN_US, action).await.not_found();
        app.operator().act(NOBODY, action).await.not_found();
    }
}

async fn conditions_hold_for_the_version_that_is_changed(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let act = async |action: &str, name: &str, tag: &str| {
        let target = format!("/images/{uuid}?action={action}");
        app.luke().call(Method::POST, &target).header(name, tag).send().await
    };
    let etag = app.luke().get_image(&uuid).await.header("etag").unwrap().to_owned();
    act("disable", "if-none-match", &format!("\"{etag}\"")).await.refused(412, "PreconditionFailed");
    act("disable", "if-match", "other").await.refused(412, "PreconditionFailed");
    act("disable", "if-match", &format!("W/\"{etag}\", \"x\"")).await.ok();
    act("enable", "if-match", &etag).await.refused(412, "PreconditionFailed");
    act("activate", "if-match", &etag).await.refused(412, "PreconditionFailed");
    act("activate", "if-match", "*").await.refused(422, "ImageAlreadyActivated");
}
