// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! CreateImage: the rules for manifests.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, BASE, BASE_2, FATHER, JOIN_US, LUKE, NOBODY, TARKIN, TestApp, VADER, fresh, merged,
    small_manifest, small_record, tests,
};

tests! {
    a_manifest_with_everything_comes_back,
    a_small_manifest_gets_the_defaults,
    a_zvol_has_its_own_members,
    only_accounts_own_images,
    an_origin_is_one_that_the_caller_sees,
    members_that_are_null_are_not_given,
    members_that_are_not_the_clients_to_say_are_refused,
    invalid_members_are_named,
    limits_are_counted_in_utf_16_units,
    every_problem_is_reported_at_once,
    what_crashed_4_13_1_is_refused_by_name,
}

async fn a_manifest_with_everything_comes_back(app: &TestApp) {
    let body = json!({
        "name": "what-a_piece.of junk", "version": "1.0.0+a/b", "description": "a ship", "os": "smartos",
        "type": "zone-dataset", "public": true, "disabled": false, "v": 2, "owner": LUKE, "acl": [VADER, LUKE],
        "requirements": {
            "min_platform": {"7.0": "20120101T000000Z"}, "brand": "joyent-minimal", "min_ram": 256, "max_ram": 512,
            "networks": [{"name": "net0", "description": "public"}], "ssh_key": true,
        },
        "billing_tags": ["xxllpromo"], "traits": {"ssd": true, "a": "b", "c": ["d"]},
        "tags": {"str": "bar", "num": 42, "bool": true, "bool2": false}, "homepage": "https://example.com/a?b=c",
        "eula": "http://example.com/eula", "users": [{"name": "root"}], "generate_passwords": true,
        "inherited_directories": ["/opt/local"], "origin": BASE, "files": [], "channels": ["dev"],
    });
    let created = app.luke().create(&body).await;
    let image = created.ok();
    let added = json!({"uuid": image["uuid"], "state": "unactivated", "files": [], "channels": null});
    let members = |object: &Value| {
        let mut members: Vec<_> = object.as_object().unwrap().clone().into_iter().collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members
    };
    assert_eq!(members(&image), members(&merged(body, added)));
    let uuid = image["uuid"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(uuid).unwrap().get_version_num(), 4);
    assert_eq!(app.operator().get_image(uuid).await.body, created.body);
    assert!(created.header("etag").is_some());
}

async fn a_small_manifest_gets_the_defaults(app: &TestApp) {
    let image = app.luke().create(&small_manifest()).await.ok();
    let names: Vec<_> = image.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["v", "uuid", "owner", "name", "version", "state", "disabled", "public", "type", "os", "files"];
    assert_eq!(names, expected);
    assert_eq!((&image["v"], &image["owner"], &image["public"]), (&json!(2), &json!(LUKE), &json!(false)));
    // Forms are accepted wherever JSON is.
    let form =
        app.luke().call(Method::POST, "/images").header("content-type", "application/x-www-form-urlencoded");
    let image = form.body("name=a&version=1&type=other&os=other&public=true").send().await.ok();
    assert_eq!((&image["name"], &image["public"]), (&json!("a"), &json!(true)));
}

async fn a_zvol_has_its_own_members(app: &TestApp) {
    let zvol = json!({"type": "zvol", "nic_driver": "virtio", "disk_driver": "ide", "cpu_type": "qemu64",
        "image_size": "16384"});
    let image = app.luke().create(&merged(small_manifest(), zvol.clone())).await.ok();
    assert_eq!(image["image_size"], 16384);
    for missing in ["nic_driver", "disk_driver", "cpu_type"] {
        let body = merged(merged(small_manifest(), zvol.clone()), json!({missing: null}));
        app.luke().create(&body).await.refused_field("ValidationFailed", missing, "MissingParameter");
    }
    let without_size = merged(merged(small_manifest(), zvol), json!({"image_size": null}));
    app.luke().create(&without_size).await.refused_field("ValidationFailed", "image_size", "Invalid");
    let body = merged(small_manifest(), json!({"nic_driver": "virtio"}));
    app.luke().create(&body).await.refused_field("InvalidParameter", "nic_driver", "Invalid");
}

async fn only_accounts_own_images(app: &TestApp) {
    let owned_by = |owner: &str| merged(small_manifest(), json!({"owner": owner}));
    assert_eq!(app.operator().create(&owned_by(LUKE)).await.ok()["owner"], LUKE);
    assert_eq!(app.operator().create(&owned_by(ADMIN)).await.ok()["owner"], ADMIN);
    let refused = app.operator().create(&owned_by(NOBODY)).await.refused(422, "OwnerDoesNotExist");
    assert!(refused.message.contains(NOBODY));
    // A sub-user is in the directory, but is not an account.
    app.operator().create(&owned_by(TARKIN)).await.refused(422, "OwnerDoesNotExist");
    let sub_user = format!("/images?account={TARKIN}");
    let call = app.operator().call(Method::POST, &sub_user).json(&small_manifest());
    call.send().await.refused(422, "OwnerDoesNotExist");
    app.luke().create(&owned_by(VADER)).await.refused_field("InvalidParameter", "owner", "Invalid");
    for bad in [LUKE.to_uppercase(), "x".into(), "*".into(), format!("{LUKE},ou=users")] {
        app.operator().create(&owned_by(&bad)).await.refused_field("InvalidParameter", "owner", "Invalid");
    }
    app.operator().create(&small_manifest()).await.refused_field(
        "ValidationFailed",
        "owner",
        "MissingParameter",
    );
}

/// An image that an account may not see is treated as missing.
async fn an_origin_is_one_that_the_caller_sees(app: &TestApp) {
    let with_origin = |origin: Value| merged(small_manifest(), json!({"origin": origin}));
    let private = small_record(json!({}));
    app.store(&private).await;
    let mut messages = Vec::new();
    for unknown in [json!(NOBODY), json!(JOIN_US), json!(BASE_2), private["uuid"].clone()] {
        let refused =
            app.luke().create(&with_origin(unknown.clone())).await.refused(422, "OriginDoesNotExist");
        messages.push(refused.message.replace(unknown.as_str().unwrap(), "X"));
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    for unknown in [json!("x"), json!(5), json!(BASE.to_uppercase())] {
        app.luke().create(&with_origin(unknown)).await.refused(422, "OriginDoesNotExist");
    }
    app.luke().create(&with_origin(json!(""))).await.refused_field("ValidationFailed", "origin", "Invalid");
    let draft = app.luke().has_image(json!({})).await;
    app.luke().create(&with_origin(json!(draft))).await.refused(422, "OriginIsNotActive");
    // These origins are public, shared with luke, or his own; disabled or not.
    let own = app.luke().has_active_image(json!({})).await;
    app.luke().act(&own, "disable").await.ok();
    for origin in [FATHER, &own] {
        let image = app.luke().create(&with_origin(json!(origin))).await.ok();
        assert_eq!(image["origin"], origin);
        app.luke().delete(image["uuid"].as_str().unwrap()).await.gone();
    }
    // Operators see all images. An origin must exist before an image is based on it.
    for origin in [JOIN_US, private["uuid"].as_str().unwrap()] {
        let body = merged(with_origin(json!(origin)), json!({"owner": LUKE}));
        let image = app.operator().create(&body).await.ok();
        assert_eq!(image["origin"], origin);
        app.operator().delete(image["uuid"].as_str().unwrap()).await.gone();
    }
}

/// Newer clients send such members.
async fn members_that_are_null_are_not_given(app: &TestApp) {
    let nulls = [
        "uuid",
        "owner",
        "state",
        "origin",
        "tags",
        "acl",
        "requirements",
        "traits",
        "icon",
        "channels",
        "published_at",
        "users",
        "nic_driver",
        "image_size",
        "colour",
        "v",
        "public",
    ];
    let mut body = small_manifest();
    for name in nulls {
        body[name] = json!(null);
    }
    let image = app.luke().create(&body).await.ok();
    let plain = app.luke().create(&small_manifest()).await.ok();
    let names = |image: &Value| image.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&image), names(&plain));
    let mut missing = small_manifest();
    missing["name"] = json!(null);
    app.luke().create(&missing).await.refused_field("ValidationFailed", "name", "MissingParameter");
}

async fn members_that_are_not_the_clients_to_say_are_refused(app: &TestApp) {
    let with = async |changes: Value| app.luke().create(&merged(small_manifest(), changes)).await;
    with(json!({"state": "active"})).await.refused_field("ValidationFailed", "state", "NotAllowed");
    for (name, value) in [
        ("uuid", json!(fresh())),
        ("published_at", json!("2012-10-11T14:40:57.936Z")),
        ("urn", json!("a:b:c:1")),
        ("activated", json!(true)),
        ("expires_at", json!("2012-10-11T14:40:57.936Z")),
        ("creator_uuid", json!(LUKE)),
        ("__proto__", json!({})),
    ] {
        with(json!({name: value})).await.refused_field("InvalidParameter", name, "Invalid");
    }
    let refusal = with(json!({"b": 1, "a": 1, "name": "$"})).await.refused(422, "InvalidParameter");
    let fields: Vec<_> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["b", "a"], "all of them, in their order, and nothing else yet");
}

async fn invalid_members_are_named(app: &TestApp) {
    let stamp = |stamp: &str| json!({"requirements": {"min_platform": {"7.0": stamp}}});
    for (changes, field) in [
        (json!({"v": -1}), "v"),
        (json!({"name": "a$b"}), "name"),
        (json!({"version": "1 0"}), "version"),
        (json!({"type": "floppy"}), "type"),
        (json!({"os": "beos"}), "os"),
        (json!({"public": "maybe"}), "public"),
        (json!({"homepage": "ftp://example.com"}), "homepage"),
        (json!({"eula": "example.com"}), "eula"),
        (json!({"acl": ["x"]}), "acl"),
        (json!({"acl": {"a": 1}}), "acl"),
        (json!({"users": [{"name": "a", "shell": "b"}]}), "users"),
        (json!({"users": "root"}), "users"),
        (json!({"billing_tags": ["x".repeat(129)]}), "billing_tags"),
        (json!({"billing_tags": ["a", " Null"]}), "billing_tags"),
        (json!({"billing_tags": ["a\0b"]}), "billing_tags"),
        (json!({"tags": {"a\0b": 1}}), "tags"),
        (json!({"tags": {"a": "\0"}}), "tags"),
        (json!({"traits": {"a": 5}}), "traits"),
        (json!({"tags": ["a"]}), "tags"),
        (json!({"inherited_directories": "/a"}), "inherited_directories"),
        (json!({"type": "other", "inherited_directories": ["/a"]}), "inherited_directories"),
        (json!({"icon": true}), "icon"),
        (json!({"error": "x"}), "error"),
        (json!({"requirements": {"networks": [{"name": "a"}]}}), "requirements.networks"),
        (json!({"requirements": {"brand": 5}}), "requirements.brand"),
        (json!({"requirements": {"ssh_key": "x"}}), "requirements.ssh_key"),
        (json!({"requirements": {"min_ram": "x"}}), "requirements.min_ram"),
        (json!({"requirements": {"bootrom": "coreboot", "brand": "bhyve"}}), "requirements.bootrom"),
        (json!({"requirements": {"cores": 4}}), "cores"),
        (stamp("20110101T000000Z"), "requirements.min_platform"),
        (stamp("20121301T000000Z"), "requirements.min_platform"),
        (stamp("20120101T000000"), "requirements.min_platform"),
    ] {
        let answer = app.luke().create(&merged(small_manifest(), changes)).await;
        answer.refused_field("ValidationFailed", field, "Invalid");
    }
}

async fn limits_are_counted_in_utf_16_units(app: &TestApp) {
    let long = |unit: &str, count: usize| json!(unit.repeat(count));
    for (name, unit, most) in [
        ("name", "a", 1024),
        ("version", "1", 512),
        ("description", "é", 10240),
        ("description", "𝄞", 5120),
        ("description", "\"", 10240),
    ] {
        let with = |count: usize| merged(small_manifest(), json!({name: long(unit, count)}));
        assert_eq!(app.luke().create(&with(most)).await.ok()[name], long(unit, most), "{name}");
        app.luke().create(&with(most + 1)).await.refused_field("ValidationFailed", name, "Invalid");
    }
    let url = |count: usize| format!("http://example.com/{}", "a".repeat(count - 19));
    app.luke().create(&merged(small_manifest(), json!({"homepage": url(1024)}))).await.ok();
    let too_long = merged(small_manifest(), json!({"homepage": url(1025)}));
    app.luke().create(&too_long).await.refused_field("ValidationFailed", "homepage", "Invalid");
    let tags = |count: usize| merged(small_manifest(), json!({"tags": {"a": "x".repeat(count)}}));
    app.luke().create(&tags(102_400 - 8)).await.ok();
    app.luke().create(&tags(102_400)).await.refused_field("ValidationFailed", "tags", "Invalid");
}

async fn every_problem_is_reported_at_once(app: &TestApp) {
    let refusal = app.luke().create(&json!({})).await.refused(422, "ValidationFailed");
    let missing =
        ["name", "version", "type", "os"].map(|name| (name.to_owned(), "MissingParameter".to_owned()));
    assert_eq!(refusal.fields, missing);
    assert!(refusal.message.ends_with("name, version, type, os"), "{refusal:?}");
    let body = json!({"os": "x", "name": "", "homepage": "x", "version": "$", "type": "other", "tags": []});
    let refusal = app.luke().create(&body).await.refused(422, "ValidationFailed");
    let fields: Vec<_> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["name", "version", "os", "homepage", "tags"]);
}

async fn what_crashed_4_13_1_is_refused_by_name(app: &TestApp) {
    let create = |query: &str| app.luke().call(Method::POST, &format!("/images{query}"));
    create("").send().await.refused_field("ValidationFailed", "body", "MissingParameter");
    for body in ["null", "[]", "5", "\"x\"", "true"] {
        let answer = create("").header("content-type", "application/json").body(body).send().await;
        answer.refused_field("ValidationFailed", "body", "MissingParameter");
    }
    let json = create("?action=").json(&small_manifest()).send().await;
    json.refused_field("InvalidParameter", "action", "Invalid");
    for tags in [json!("x"), json!(5), json!([])] {
        let mut body = small_manifest();
        body["tags"] = tags;
        app.luke().create(&body).await.refused_field("ValidationFailed", "tags", "Invalid");
    }
    for (name, value) in [("disabled", json!("x")), ("homepage", json!(5)), ("generate_passwords", json!({}))]
    {
        let body = merged(small_manifest(), json!({name: value}));
        app.luke().create(&body).await.refused_field("ValidationFailed", name, "Invalid");
    }
    assert!(app.dc.imgapi_pid().is_some());
}
