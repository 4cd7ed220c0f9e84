// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UpdateImage.

use std::fs;

use coal::moray::{Fault, FaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, Answer, BASE, FATHER, JOIN_US, LUKE, NOBODY, TestApp, fresh, sha1_of, small_record, tests,
    wait_until, within,
};

tests! {
    what_the_owner_says_is_stored_and_null_removes,
    who_may_change_what_and_when,
    the_changed_image_is_validated_as_a_whole,
    a_new_owner_must_exist,
    an_owner_that_stays_is_not_looked_up,
    members_that_are_null_and_cannot_go_are_not_given,
    an_image_is_given_away_with_an_origin_that_the_account_sees,
    a_body_without_members_is_refused,
    tags_are_replaced_and_cleared_in_both_forms,
    of_a_file_only_the_digests_change,
    an_origin_must_exist_and_lead_nowhere_back,
    operators_who_meet_close_no_circle_of_origins,
    a_uuid_takes_file_and_record_along,
    a_uuid_that_is_taken_or_cannot_move_is_refused,
    a_rename_that_stopped_half_way_is_finished_by_the_sweep,
    a_rename_that_stopped_before_its_write_can_be_repeated,
    a_placeholder_can_be_marked_as_failed,
    conditions_are_evaluated_before_the_members,
}

async fn update(app: &TestApp, uuid: &str, query: &str, body: Value) -> Answer {
    let target = format!("/images/{uuid}?action=update{query}");
    app.operator().call(Method::POST, &target).json(&body).send().await
}

fn of(account: &str) -> String {
    format!("&account={account}")
}

async fn what_the_owner_says_is_stored_and_null_removes(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({"description": "old", "homepage": "http://a.b"})).await;
    let body = json!({"name": "renamed", "version": "2", "description": null, "eula": "https://c.d", "acl": [ADMIN],
        "requirements": {"max_ram": 512}, "public": true, "os": "linux", "users": [{"name": "root"}],
        "generate_passwords": true, "inherited_directories": ["/a"]});
    let answer = update(app, &uuid, &of(LUKE), body.clone()).await;
    let image = answer.ok();
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&image[name], value, "{name}");
    }
    assert_eq!((&image["homepage"], &image["state"]), (&json!("http://a.b"), &json!("active")));
    let read = app.luke().get_image(&uuid).await;
    assert_eq!((read.body.clone(), read.header("etag")), (answer.body.clone(), answer.header("etag")));
    let archived: Value = serde_json::from_slice(&fs::read(app.archived(&uuid)).unwrap()).unwrap();
    assert_eq!(archived, image);
    assert!(!app.stored(&uuid).await.unwrap().0.as_object().unwrap().contains_key("description"));
}

async fn who_may_change_what_and_when(app: &TestApp) {
    let draft = app.luke().has_image_with_file(json!({}), b"x").await;
    let active = app.luke().has_active_image(json!({})).await;
    let body = json!({"name": "n", "v": 3, "billing_tags": ["b"], "traits": {}, "state": "failed", "error": {},
        "uuid": fresh(), "origin": BASE, "files": [{"size": 1}], "type": "zvol", "urn": "u", "disabled": true,
        "activated": true, "published_at": null, "icon": null, "expires_at": null, "colour": "red"});
    let never = ["v", "type", "urn", "disabled", "activated", "published_at", "icon", "expires_at", "colour"];
    let once_active = [&never[..], &["files", "origin", "uuid"]].concat();
    let by_operators = ["state", "error", "billing_tags", "traits"];
    let others = [&never[..], &by_operators, &["files", "origin", "uuid"]].concat();
    // An empty account is not an account, but the caller is not an operator either.
    for (uuid, query, fields) in [
        (&draft, String::new(), &never[..]),
        (&active, String::new(), &once_active),
        (&draft, of(LUKE), &others),
        (&active, of(LUKE), &others),
        (&draft, of(""), &others),
    ] {
        let refusal = update(app, uuid, &query, body.clone()).await.refused(422, "ValidationFailed");
        let expected: Vec<_> =
            fields.iter().map(|name| (name.to_string(), "NotAllowed".to_owned())).collect();
        assert_eq!(refusal.fields, expected, "{query}");
    }
    let image = update(app, &active, "", json!({"billing_tags": "b", "traits": {"t": true}})).await.ok();
    assert_eq!((&image["billing_tags"], &image["traits"]), (&json!(["b"]), &json!({"t": true})));
    update(app, FATHER, &of(LUKE), json!({"v": 1})).await.refused(422, "NotImageOwner");
    update(app, JOIN_US, &of(LUKE), json!({"v": 1})).await.not_found();
    update(app, NOBODY, "", json!({"v": 1})).await.not_found();
}

async fn the_changed_image_is_validated_as_a_whole(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let before = app.luke().get_image(&uuid).await.body;
    for (body, field, code) in [
        (json!({"name": null}), "name", "MissingParameter"),
        (json!({"os": null}), "os", "MissingParameter"),
        (json!({"owner": null}), "owner", "MissingParameter"),
        (json!({"owner": "luke"}), "owner", "Invalid"),
        (json!({"version": "a b"}), "version", "Invalid"),
        (json!({"acl": ["x"]}), "acl", "Invalid"),
        (json!({"tags": [1]}), "tags", "Invalid"),
        (json!({"public": "maybe"}), "public", "Invalid"),
        (json!({"image_size": 5}), "image_size", "Invalid"),
        (json!({"channels": ["dev"]}), "channels", "Invalid"),
        (json!({"requirements": {"brand": 5}}), "requirements.brand", "Invalid"),
    ] {
        update(app, &uuid, &of(LUKE), body).await.refused_field("ValidationFailed", field, code);
    }
    assert_eq!(app.luke().get_image(&uuid).await.body, before);
}

async fn a_new_owner_must_exist(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    update(app, &uuid, "", json!({"owner": NOBODY})).await.refused(422, "OwnerDoesNotExist");
    assert_eq!(update(app, &uuid, "", json!({"owner": ADMIN})).await.ok()["owner"], ADMIN);
    app.luke().get_image(&uuid).await.not_found();
}

/// This matters if UFDS is unavailable, or if the account no longer exists there.
async fn an_owner_that_stays_is_not_looked_up(app: &TestApp) {
    let orphan = small_record(json!({}));
    app.store(&orphan).await;
    let uuid = orphan["uuid"].as_str().unwrap();
    assert_eq!(update(app, uuid, "", json!({"name": "x"})).await.ok()["name"], "x");
    let same = json!({"name": "y", "owner": orphan["owner"]});
    assert_eq!(update(app, uuid, "", same).await.ok()["name"], "y");
    assert_eq!(update(app, uuid, "", json!({"owner": ADMIN})).await.ok()["owner"], ADMIN);
    update(app, uuid, "", json!({"owner": orphan["owner"]})).await.refused(422, "OwnerDoesNotExist");
}

/// Newer clients send such members.
async fn members_that_are_null_and_cannot_go_are_not_given(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({"tags": {"a": 1}, "homepage": "http://a.b"})).await;
    let body = json!({"description": "d", "name": null, "version": null, "public": null, "state": null, "uuid": null,
        "origin": null, "type": null, "homepage": null});
    for query in ["", &of(LUKE)] {
        let image = update(app, &uuid, query, body.clone()).await.ok();
        assert_eq!((&image["description"], &image["name"]), (&json!("d"), &json!("small")));
        assert_eq!((&image["tags"], image.get("homepage")), (&json!({"a": 1}), None));
    }
}

/// The next owner may see the origin, but the account may not.
async fn an_image_is_given_away_with_an_origin_that_the_account_sees(app: &TestApp) {
    let hidden = small_record(json!({}));
    let image = small_record(json!({"owner": LUKE, "origin": hidden["uuid"]}));
    let orphan = small_record(json!({"owner": LUKE, "origin": NOBODY}));
    app.store_all(&[hidden, image.clone(), orphan.clone()]).await;
    for image in [&image, &orphan] {
        let refused = update(app, image["uuid"].as_str().unwrap(), &of(LUKE), json!({"owner": ADMIN})).await;
        refused.refused(422, "OriginDoesNotExist");
    }
    let uuid = image["uuid"].as_str().unwrap();
    assert_eq!(update(app, uuid, "", json!({"owner": ADMIN})).await.ok()["owner"], ADMIN);
    let seen = app.luke().has_image(json!({"origin": FATHER})).await;
    assert_eq!(update(app, &seen, &of(LUKE), json!({"owner": ADMIN})).await.ok()["owner"], ADMIN);
    app.operator().delete(&seen).await.gone();
}

async fn a_body_without_members_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    for body in [json!({}), json!([])] {
        let refusal = update(app, &uuid, "", body).await.refused(422, "ValidationFailed");
        assert_eq!(refusal.fields, []);
        assert_eq!(refusal.message, "there is nothing to update: the body has no members");
    }
    for body in [json!(null), json!("x"), json!(5), json!(true)] {
        update(app, &uuid, "", body).await.refused_field("ValidationFailed", "body", "MissingParameter");
    }
    app.luke().act(&uuid, "update").await.refused_field("ValidationFailed", "body", "MissingParameter");
    let refusal = update(app, &uuid, "", json!(["a", "b"])).await.refused(422, "ValidationFailed");
    assert_eq!(refusal.fields, [("0".into(), "NotAllowed".into()), ("1".into(), "NotAllowed".into())]);
    // A form is accepted like JSON.
    let target = format!("/images/{uuid}?action=update");
    let form = app
        .operator()
        .call(Method::POST, &target)
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("name=formed&version=3").send().await.ok()["name"], "formed");
}

async fn tags_are_replaced_and_cleared_in_both_forms(app: &TestApp) {
    let key = fresh();
    let uuid = app.luke().has_active_image(json!({"tags": {(&key): "a", "other": 1}})).await;
    let found = async |value: &str| app.luke().list_uuids(&format!("tag.{key}={value}")).await;
    assert_eq!(
        update(app, &uuid, "", json!({"tags": {(&key): "b"}})).await.ok()["tags"],
        json!({(&key): "b"})
    );
    assert_eq!((found("a").await, found("b").await), (vec![], vec![uuid.clone()]));
    assert_eq!(update(app, &uuid, "", json!({"tags": null})).await.ok().get("tags"), None);
    assert_eq!(found("b").await, Vec::<String>::new());
    assert_eq!(update(app, &uuid, "", json!({"tags": {}})).await.ok()["tags"], json!({}));
}

async fn of_a_file_only_the_digests_change(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"layer").await;
    let entry = app.operator().get_image(&uuid).await.ok()["files"][0].clone();
    let mut digested = entry.clone();
    digested["digest"] = json!("sha256:1");
    digested["uncompressedDigest"] = json!("sha256:2");
    let shown = update(app, &uuid, "", json!({"files": [digested], "name": "layered"})).await.ok();
    assert_eq!((&shown["files"], &shown["name"]), (&json!([entry]), &json!("layered")));
    let (record, _) = app.stored(&uuid).await.unwrap();
    assert_eq!(
        (&record["files"][0]["digest"], &record["files"][0]["stor"]),
        (&json!("sha256:1"), &json!("local"))
    );
    let other = json!([{"sha1": sha1_of(b"other")}]);
    for files in [other, json!("x"), json!(["x"])] {
        let refused = update(app, &uuid, "", json!({ "files": files })).await;
        refused.refused_field("ValidationFailed", "files", "NotAllowed");
    }
    for files in [json!([]), json!(null), json!([null])] {
        update(app, &uuid, "", json!({"files": files})).await.refused_field(
            "ValidationFailed",
            "files",
            "Invalid",
        );
    }
    let empty = app.luke().has_image(json!({})).await;
    let refused = update(app, &empty, "", json!({"files": [{"digest": "x"}]})).await;
    refused.refused_field("ValidationFailed", "files", "Invalid");
}

async fn an_origin_must_exist_and_lead_nowhere_back(app: &TestApp) {
    let bottom = app.luke().has_image(json!({})).await;
    let middle = app.operator().has_image(json!({"owner": LUKE, "origin": bottom})).await;
    let top = app.operator().has_image(json!({"owner": LUKE, "origin": middle})).await;
    update(app, &bottom, "", json!({"origin": NOBODY})).await.refused(422, "OriginDoesNotExist");
    for origin in [&bottom, &middle, &top] {
        let refused = update(app, &bottom, "", json!({"origin": origin})).await;
        refused.refused_field("ValidationFailed", "origin", "Invalid");
    }
    update(app, &top, "", json!({"origin": "x"})).await.refused_field(
        "ValidationFailed",
        "origin",
        "Invalid",
    );
    assert_eq!(update(app, &top, "", json!({"origin": BASE})).await.ok()["origin"], BASE);
    assert_eq!(update(app, &top, "", json!({"origin": null})).await.ok().get("origin"), None);
}

/// Each of the two updates is valid by itself, and neither names an image that the other changes.
async fn operators_who_meet_close_no_circle_of_origins(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let mut images = Vec::new();
    for _ in 0..4 {
        images.push(app.luke().has_image_with_file(json!({}), b"x").await);
    }
    let [a, b, c, d] = &images[..] else { unreachable!() };
    update(&app, a, "", json!({"origin": b})).await.ok();
    update(&app, c, "", json!({"origin": d})).await.ok();
    // Both are checked before either is written.
    let faults = app.dc.moray().faults();
    let before = faults.applied();
    faults.set(FaultRule::new(Fault::Stall).method("batch").times(2));
    let both = async {
        tokio::join!(update(&app, b, "", json!({"origin": c})), update(&app, d, "", json!({"origin": a})))
    };
    let meet = async {
        faults.wait_applied(before + 2).await;
        faults.clear();
    };
    let ((one, other), ()) = within("both updates", async { tokio::join!(both, meet) }).await;
    let (made, refused) = if one.status == 200 { (one, other) } else { (other, one) };
    made.ok();
    refused.refused_field("ValidationFailed", "origin", "Invalid");
    app.stop().await;
}

async fn a_uuid_takes_file_and_record_along(app: &TestApp) {
    let (old, new) = (app.luke().has_image_with_file(json!({}), b"bytes").await, fresh());
    let entry = app.operator().get_image(&old).await.ok()["files"][0].clone();
    // The update that the build of a Docker image makes.
    let body = json!({"uuid": new, "origin": BASE, "version": "0123456789ab", "tags": {"docker:id": "sha256:1"},
        "files": [{"sha1": entry["sha1"], "size": 5, "compression": "none", "digest": "sha256:1"}]});
    let image = update(app, &old, "", body).await.ok();
    assert_eq!((&image["uuid"], &image["origin"], &image["files"][0]), (&json!(new), &json!(BASE), &entry));
    app.luke().get_image(&old).await.not_found();
    assert!(app.stored(&old).await.is_none() && !app.file(&old).parent().unwrap().exists());
    assert_eq!(fs::read(app.file(&new)).unwrap(), b"bytes");
    assert!(app.archived(&new).exists());
    assert_eq!(app.luke().download(&new).await.text(), "bytes");
    assert_eq!(app.luke().activate(&new).await.ok()["state"], "active");
    app.luke().delete(&new).await.gone();
    assert!(!app.file(&new).exists());
    app.nothing_unfinished().await;
}

async fn a_uuid_that_is_taken_or_cannot_move_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"mine").await;
    let other = app.luke().has_image_with_file(json!({}), b"theirs").await;
    update(app, &uuid, "", json!({"uuid": other})).await.refused(409, "ImageUuidAlreadyExists");
    update(app, &uuid, "", json!({"uuid": "x"})).await.refused_field("ValidationFailed", "uuid", "Invalid");
    update(app, &uuid, "", json!({"uuid": null})).await.refused_field(
        "ValidationFailed",
        "uuid",
        "MissingParameter",
    );
    assert_eq!(app.luke().download(&other).await.text(), "theirs");
    assert_eq!(app.luke().download(&uuid).await.text(), "mine");
    // The same UUID is not a change.
    assert_eq!(update(app, &uuid, "", json!({"uuid": uuid, "name": "n"})).await.ok()["name"], "n");
    let child = app.operator().has_image(json!({"owner": LUKE, "origin": uuid})).await;
    update(app, &uuid, "", json!({"uuid": fresh()})).await.refused(422, "ImageHasDependentImages");
    update(app, &child, "", json!({"uuid": fresh()})).await.refused_field(
        "ValidationFailed",
        "uuid",
        "Invalid",
    );
    let file = |sha1: &str| json!({"sha1": sha1, "size": 4, "compression": "none", "stor": "local"});
    let two = small_record(json!({"owner": LUKE, "type": "lxd", "activated": false, "state": "unactivated",
        "files": [file("a"), file("b")]}));
    app.store(&two).await;
    let two = two["uuid"].as_str().unwrap();
    update(app, two, "", json!({"uuid": fresh()})).await.refused(400, "NotImplemented");
    app.nothing_unfinished().await;
}

async fn a_rename_that_stopped_half_way_is_finished_by_the_sweep(_: &TestApp) {
    let mut app = TestApp::start_empty().await;
    // A process that stopped after its write leaves this state: the record is new, and the file has both names.
    let (old, new) = (app.luke().has_image_with_file(json!({}), b"bytes").await, fresh());
    let (mut record, _) = app.stored(&old).await.unwrap();
    let sha1 = record["files"][0]["sha1"].as_str().unwrap().to_owned();
    record["uuid"] = json!(new);
    record["renamed_from"] = json!(old);
    fs::hard_link(app.file(&old), app.incoming().join(format!("{new}.file0.{sha1}"))).unwrap();
    app.store(&record).await;
    app.moray.del_object("imgapi_images", &old, &moray::DeleteOptions::default()).await.unwrap();
    assert_eq!(app.luke().download(&new).await.text(), "bytes");
    app.dc.restart_imgapi().await.unwrap();
    app.nothing_unfinished().await;
    assert_eq!(fs::read(app.file(&new)).unwrap(), b"bytes");
    assert!(!app.file(&old).exists());
    app.stop().await;
}

/// The write may still be in transit, so the second name stays for as long as it costs nothing.
async fn a_rename_that_stopped_before_its_write_can_be_repeated(_: &TestApp) {
    let mut app = TestApp::start_empty().await;
    let (old, new) = (app.luke().has_image_with_file(json!({}), b"bytes").await, fresh());
    let (given_up, other) = (app.luke().has_image_with_file(json!({}), b"other").await, fresh());
    for (old, new, bytes) in [(&old, &new, &b"bytes"[..]), (&given_up, &other, b"other")] {
        let second = app.incoming().join(format!("{new}.file0.{}", sha1_of(bytes)));
        fs::hard_link(app.file(old), second).unwrap();
    }
    app.dc.restart_imgapi().await.unwrap();
    let repeated = wait_until("the rename", async || {
        let answer = update(&app, &old, "", json!({"uuid": new})).await;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(repeated.await.ok()["uuid"], new);
    assert_eq!(app.luke().download(&new).await.text(), "bytes");
    assert!(!app.file(&old).exists());
    assert_eq!(app.luke().download(&given_up).await.text(), "other");
    app.luke().delete(&given_up).await.gone();
    app.dc.restart_imgapi().await.unwrap();
    app.nothing_unfinished().await;
    app.stop().await;
}

async fn a_placeholder_can_be_marked_as_failed(app: &TestApp) {
    let placeholder =
        small_record(json!({"owner": LUKE, "state": "creating", "activated": false, "type": "null",
        "os": "null", "files": null, "published_at": null, "expires_at": "2030-01-01T00:00:00.000Z"}));
    app.store(&placeholder).await;
    let uuid = placeholder["uuid"].as_str().unwrap();
    let error = json!({"code": "VmHasNoOrigin", "message": "no origin"});
    let image = update(app, uuid, "", json!({"state": "failed", "error": error})).await.ok();
    assert_eq!((&image["state"], &image["error"], image.get("type")), (&json!("failed"), &error, None));
    assert_eq!(app.luke().get_image(uuid).await.ok(), image);
    // A placeholder can be neither enabled, disabled nor activated.
    for action in ["enable", "disable"] {
        app.luke().act(uuid, action).await.refused_field("ValidationFailed", "state", "Invalid");
    }
    app.luke().upload(uuid, "compression=none", "x").await.ok();
    app.luke().activate(uuid).await.refused_field("ValidationFailed", "state", "Invalid");
    assert_eq!(app.luke().get_image(uuid).await.ok()["state"], "failed");
    app.luke().delete(uuid).await.gone();
}

async fn conditions_are_evaluated_before_the_members(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let conditional = async |name: &str, tag: &str, body: Value| {
        let target = format!("/images/{uuid}?action=update&account={LUKE}");
        app.operator().call(Method::POST, &target).header(name, tag).json(&body).send().await
    };
    let etag = app.luke().get_image(&uuid).await.header("etag").unwrap().to_owned();
    conditional("if-match", "x", json!({"colour": 1})).await.refused(412, "PreconditionFailed");
    conditional("if-none-match", &etag, json!({"name": "x"})).await.refused(412, "PreconditionFailed");
    conditional("if-match", &etag, json!({"colour": 1})).await.refused(422, "ValidationFailed");
    let changed = conditional("if-match", &etag, json!({"acl": [ADMIN]})).await;
    changed.ok();
    conditional("if-match", &etag, json!({"name": "x"})).await.refused(412, "PreconditionFailed");
    conditional("if-match", changed.header("etag").unwrap(), json!({"name": "x"})).await.ok();
}
