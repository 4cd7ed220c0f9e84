// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AddImageAcl and RemoveImageAcl.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, Actor, Answer, DARK_SIDE, FATHER, JOIN_US, LUKE, NOBODY, TestApp, VADER, fresh, merged,
    small_manifest, small_record, tests,
};

tests! {
    accounts_are_added_once_and_removed,
    who_is_on_the_acl_sees_an_activated_image,
    an_acl_is_changed_in_any_state,
    a_legacy_acl_becomes_a_list,
    a_wrong_body_names_the_acl,
    mistakes_are_told_in_order,
    an_acl_has_an_end,
}

async fn post(actor: Actor<'_>, uuid: &str, query: &str, body: &Value) -> Answer {
    actor.call(Method::POST, &format!("/images/{uuid}/acl{query}")).json(body).send().await
}

async fn accounts_are_added_once_and_removed(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let [a, b, c] = [(); 3].map(|()| fresh());
    for (query, accounts, expected) in [
        ("", json!([b, a]), json!([b, a])),
        ("?action=add", json!([a, c, c]), json!([b, a, c])),
        ("?action=", json!([]), json!([b, a, c])),
        ("?action=remove", json!([a, NOBODY]), json!([b, c])),
        ("?action=remove", json!([c, b]), json!(null)),
        ("?action=remove", json!([c]), json!(null)),
    ] {
        let answer = post(app.luke(), &uuid, query, &accounts).await;
        assert_eq!(answer.ok()["acl"], expected, "{query} {accounts}");
        let read = app.luke().get_image(&uuid).await;
        assert_eq!((&read.body, read.header("etag")), (&answer.body, answer.header("etag")));
    }
}

async fn who_is_on_the_acl_sees_an_activated_image(app: &TestApp) {
    let friend = app.admin();
    let uuid = app.luke().has_image_with_file(json!({}), b"x").await;
    post(app.luke(), &uuid, "", &json!([ADMIN])).await.ok();
    friend.get_image(&uuid).await.not_found();
    app.luke().activate(&uuid).await.ok();
    friend.get_image(&uuid).await.ok();
    app.vader().get_image(&uuid).await.not_found();
    app.luke().act(&uuid, "disable").await.ok();
    assert_eq!(friend.download(&uuid).await.text(), "x");
    post(app.luke(), &uuid, "?action=remove", &json!([ADMIN])).await.ok();
    friend.get_image(&uuid).await.not_found();
}

async fn an_acl_is_changed_in_any_state(app: &TestApp) {
    let placeholder =
        small_record(json!({"owner": LUKE, "state": "creating", "activated": false, "type": "null",
        "os": "null", "files": null, "published_at": null, "acl": null}));
    app.store(&placeholder).await;
    let placeholder = placeholder["uuid"].as_str().unwrap().to_owned();
    let public = app.luke().has_active_image(json!({"public": true})).await;
    for uuid in [placeholder, public] {
        assert_eq!(post(app.luke(), &uuid, "", &json!([ADMIN])).await.ok()["acl"], json!([ADMIN]));
        assert_eq!(app.luke().get_image(&uuid).await.ok()["acl"], json!([ADMIN]));
    }
}

async fn a_legacy_acl_becomes_a_list(app: &TestApp) {
    let other = fresh();
    let record = small_record(json!({"acl": ADMIN}));
    app.store(&record).await;
    let uuid = record["uuid"].as_str().unwrap();
    let image = post(app.operator(), uuid, "", &json!([other])).await.ok();
    assert_eq!(image["acl"], json!([ADMIN, other]));
    assert_eq!(app.stored(uuid).await.unwrap().0["acl"], json!([ADMIN, other]));
}

async fn a_wrong_body_names_the_acl(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for body in
        [json!({}), json!(null), json!("x"), json!(["x"]), json!([1]), json!([VADER, null]), json!([[VADER]])]
    {
        post(app.luke(), &uuid, "", &body).await.refused_field("InvalidParameter", "acl", "Invalid");
    }
    let absent = app.luke().call(Method::POST, &format!("/images/{uuid}/acl")).send().await;
    absent.refused_field("InvalidParameter", "acl", "Invalid");
    assert_eq!(app.luke().get_image(&uuid).await.ok().get("acl"), None);
}

async fn mistakes_are_told_in_order(app: &TestApp) {
    let call = |target: String| {
        app.operator()
            .call(Method::POST, &target)
            .header("content-type", "application/json")
            .body("{ not JSON")
    };
    call("/images/x/acl?account=x".into()).send().await.not_found();
    call(format!("/images/{NOBODY}/acl?account=x")).send().await.refused(400, "InvalidContent");
    let target = "?action=x&account=x";
    post(app.operator(), NOBODY, target, &json!(1)).await.refused_field(
        "InvalidParameter",
        "account",
        "Invalid",
    );
    post(app.luke(), NOBODY, "?action=x", &json!(1)).await.not_found();
    post(app.luke(), JOIN_US, "?action=x", &json!(1)).await.not_found();
    post(app.luke(), FATHER, "?action=x", &json!(1)).await.refused(422, "NotImageOwner");
    post(app.luke(), DARK_SIDE, "?action=x", &json!(1)).await.refused(422, "NotImageOwner");
    let uuid = app.luke().has_image(json!({})).await;
    post(app.luke(), &uuid, "?action=x", &json!(1)).await.refused_field(
        "InvalidParameter",
        "action",
        "Invalid",
    );
}

/// The configured limit applies to new images and to changes. A record from elsewhere may exceed it: it can be read, but its ACL
/// can only become shorter.
async fn an_acl_has_an_end(_: &TestApp) {
    let app = TestApp::start_with(|dc| dc.imgapi_config("maxAclAccounts", json!(3))).await;
    let accounts = |count: usize| (0..count).map(|_| fresh()).collect::<Vec<_>>();
    let (luke, four) = (app.luke(), accounts(4));
    let refused = |answer: &Answer| answer.refused_field("ValidationFailed", "acl", "Invalid");
    refused(&luke.create(&merged(small_manifest(), json!({"acl": four}))).await);
    let new = fresh();
    let target = format!("/images/{new}?action=import");
    let manifest = merged(small_manifest(), json!({"v": 2, "uuid": new, "owner": LUKE, "acl": four}));
    refused(&app.operator().call(Method::POST, &target).json(&manifest).send().await);

    let uuid = luke.has_active_image(json!({"acl": four[..2]})).await;
    let update = async |uuid: &str, body: Value| {
        let target = format!("/images/{uuid}?action=update");
        app.operator().call(Method::POST, &target).json(&body).send().await
    };
    refused(&post(luke, &uuid, "", &json!(four)).await);
    refused(&update(&uuid, json!({"acl": four})).await);
    assert_eq!(post(luke, &uuid, "", &json!(four[..3])).await.ok()["acl"], json!(four[..3]));
    refused(&post(luke, &uuid, "", &json!([four[3]])).await);

    let many = accounts(50);
    let record = small_record(json!({"owner": LUKE, "acl": many}));
    app.store(&record).await;
    let uuid = record["uuid"].as_str().unwrap();
    assert_eq!(luke.get_image(uuid).await.ok()["acl"], json!(many));
    assert_eq!(app.operator().list_uuids(&format!("account={}&owner={LUKE}", many[7])).await, [uuid]);
    update(uuid, json!({"description": "longer"})).await.ok();
    post(luke, uuid, "", &json!([many[9]])).await.ok();
    refused(&post(luke, uuid, "", &json!([four[0]])).await);
    assert_eq!(post(luke, uuid, "?action=remove", &json!(many[5..])).await.ok()["acl"], json!(many[..5]));
    refused(&update(uuid, json!({"acl": four.iter().chain(&many[..2]).collect::<Vec<_>>()})).await);
    update(uuid, json!({"acl": four})).await.ok();
    app.stop().await;
}
