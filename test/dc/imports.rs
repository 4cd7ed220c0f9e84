// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AdminImportImage with the manifest in the body.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{ADMIN, Answer, BASE, LUKE, NOBODY, TestApp, VADER, fresh, merged, small_record, tests};

tests! {
    a_manifest_keeps_its_identity,
    what_another_server_shows_can_be_imported,
    nobodys_images_are_the_operators,
    an_owner_must_exist_unless_told_otherwise,
    an_old_manifest_is_upgraded,
    a_placeholder_is_replaced_whole,
    an_image_is_imported_once,
    the_platform_of_an_old_imgadm_gives_way_to_the_origins,
    mistakes_are_told_in_order,
    a_body_that_is_no_manifest_is_refused,
}

fn manifest(uuid: &str, changes: Value) -> Value {
    let small = json!({"v": 2, "uuid": uuid, "owner": LUKE, "name": "imported", "version": "1.0.0",
        "type": "zone-dataset", "os": "smartos"});
    merged(small, changes)
}

async fn import(app: &TestApp, uuid: &str, query: &str, body: &Value) -> Answer {
    app.operator().call(Method::POST, &format!("/images/{uuid}?action=import{query}")).json(body).send().await
}

async fn a_manifest_keeps_its_identity(app: &TestApp) {
    let uuid = fresh();
    let urn = format!("sdc:sdc:imported:{uuid}");
    let changes = json!({"published_at": "2012-10-11T14:40:57.936Z", "urn": urn, "tags": {"a": 1}, "acl": ADMIN,
        "origin": BASE});
    let answer = import(app, &uuid, "", &manifest(&uuid, changes)).await;
    let image = answer.ok();
    assert_eq!(
        (&image["uuid"], &image["state"], &image["owner"]),
        (&json!(uuid), &json!("unactivated"), &json!(LUKE))
    );
    assert_eq!((&image["published_at"], &image["urn"]), (&json!("2012-10-11T14:40:57.936Z"), &json!(urn)));
    assert_eq!((&image["acl"], &image["origin"]), (&json!([ADMIN]), &json!(BASE)));
    let read = app.luke().get_image(&uuid).await;
    assert_eq!((&read.body, read.header("etag")), (&answer.body, answer.header("etag")));
    assert!(app.archived(&uuid).exists());
    app.luke().upload(&uuid, "compression=none", "x").await.ok();
    assert_eq!(app.luke().activate(&uuid).await.ok()["published_at"], "2012-10-11T14:40:57.936Z");
    // A URN belongs to one image only.
    let other = fresh();
    let taken = import(app, &other, "", &manifest(&other, json!({"urn": urn}))).await;
    taken.refused_field("ValidationFailed", "urn", "Invalid");
}

async fn what_another_server_shows_can_be_imported(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({"tags": {"a": true}, "description": "d"})).await;
    let mut shown = app.luke().get_image(&uuid).await.ok();
    app.luke().delete(&uuid).await.gone();
    shown["channels"] = json!(["dev"]);
    shown["icon"] = json!(true);
    let image = import(app, &uuid, "", &shown).await.ok();
    assert_eq!((&image["files"], &image["state"]), (&json!([]), &json!("unactivated")));
    assert_eq!((image.get("icon"), image.get("channels")), (None, None));
    assert_eq!((&image["published_at"], &image["tags"]), (&shown["published_at"], &shown["tags"]));
}

async fn nobodys_images_are_the_operators(app: &TestApp) {
    let uuid = fresh();
    let body = manifest(&uuid, json!({"owner": "00000000-0000-0000-0000-000000000000"}));
    assert_eq!(import(app, &uuid, "", &body).await.ok()["owner"], ADMIN);
}

async fn an_owner_must_exist_unless_told_otherwise(app: &TestApp) {
    let uuid = fresh();
    let body = manifest(&uuid, json!({"owner": NOBODY}));
    import(app, &uuid, "", &body).await.refused(422, "OwnerDoesNotExist");
    import(app, &uuid, "&skip_owner_check=false", &body).await.refused(422, "OwnerDoesNotExist");
    assert_eq!(import(app, &uuid, "&skip_owner_check=true", &body).await.ok()["owner"], NOBODY);
    for (owner, code) in
        [(json!("luke"), "Invalid"), (json!(5), "Invalid"), (json!(null), "MissingParameter")]
    {
        let uuid = fresh();
        let body = manifest(&uuid, json!({"owner": owner}));
        for query in ["", "&skip_owner_check=true"] {
            import(app, &uuid, query, &body).await.refused_field("ValidationFailed", "owner", code);
        }
    }
}

async fn an_old_manifest_is_upgraded(app: &TestApp) {
    let uuid = fresh();
    let body = json!({"uuid": uuid, "name": "ubuntu", "version": "1.0", "type": "zone-dataset", "os": "linux",
        "creator_uuid": LUKE, "vendor_uuid": VADER, "platform_type": "smartos", "cloud_name": "sdc",
        "created_at": "2011-05-17T11:53Z", "restricted_to_uuid": VADER, "creator_name": "x",
        "files": [{"path": "a.zfs.bz2", "url": "http://a", "sha1": "x", "size": 5}]});
    let image = import(app, &uuid, "", &body).await.ok();
    assert_eq!((&image["v"], &image["owner"], &image["public"]), (&json!(2), &json!(LUKE), &json!(false)));
    assert_eq!((&image["acl"], &image["published_at"]), (&json!([VADER]), &json!("2011-05-17T11:53:00Z")));
}

async fn a_placeholder_is_replaced_whole(app: &TestApp) {
    let placeholder = |state: &str| {
        small_record(
            json!({"owner": LUKE, "state": state, "activated": false, "type": "null", "os": "null", "files": null,
            "published_at": null, "tags": ["a=1"], "tagsObj": {"a": 1}, "acl": [VADER],
            "expires_at": "2030-01-01T00:00:00.000Z"}),
        )
    };
    let (creating, failed) = (placeholder("creating"), placeholder("failed"));
    app.store_all(&[creating.clone(), failed.clone()]).await;
    let uuid = creating["uuid"].as_str().unwrap();
    let answer = import(app, uuid, "", &manifest(uuid, json!({}))).await;
    let image = answer.ok();
    assert_eq!((image.get("tags"), image.get("acl"), &image["state"]), (None, None, &json!("unactivated")));
    assert_eq!(answer.header("etag"), app.luke().get_image(uuid).await.header("etag"));
    assert!(!app.stored(uuid).await.unwrap().0.as_object().unwrap().contains_key("expires_at"));
    let uuid = failed["uuid"].as_str().unwrap();
    import(app, uuid, "", &manifest(uuid, json!({}))).await.refused(409, "ImageUuidAlreadyExists");
}

async fn an_image_is_imported_once(app: &TestApp) {
    let uuid = fresh();
    let body = manifest(&uuid, json!({}));
    let imports = futures_util::future::join_all((0..8).map(|_| import(app, &uuid, "", &body))).await;
    assert_eq!(imports.iter().filter(|answer| answer.status == 200).count(), 1);
    for other in imports.iter().filter(|answer| answer.status != 200) {
        other.refused(409, "ImageUuidAlreadyExists");
    }
    // An existing record is not overwritten, even if it is not valid.
    let broken = small_record(json!({"os": "beos"}));
    app.store(&broken).await;
    let uuid = broken["uuid"].as_str().unwrap();
    import(app, uuid, "", &manifest(uuid, json!({}))).await.refused(409, "ImageUuidAlreadyExists");
    assert_eq!(app.stored(uuid).await.unwrap().0, broken);
}

async fn the_platform_of_an_old_imgadm_gives_way_to_the_origins(app: &TestApp) {
    let platform = |stamp: &str| json!({"brand": "lx", "min_platform": {"7.0": stamp}});
    let lx = json!({"type": "lx-dataset", "os": "linux", "requirements": platform("20150101T000000Z")});
    let origin = app.luke().has_image(lx).await;
    let import = async |agent: &str, origin: Value| {
        let uuid = fresh();
        let changes = json!({"type": "lx-dataset", "os": "linux", "origin": origin,
            "requirements": platform("20260101T000000Z")});
        let call = app.operator().call(Method::POST, &format!("/images/{uuid}?action=import"));
        call.header("user-agent", agent).json(&manifest(&uuid, changes)).send().await.ok()["requirements"]
            .clone()
    };
    assert_eq!(import("imgadm/3.7.3 (node/0.10.48)", json!(origin)).await, platform("20150101T000000Z"));
    assert_eq!(import("imgadm/3.7.3 (node/0.10.48)", json!(null)).await, json!({"brand": "lx"}));
    assert_eq!(import("imgadm/3.7.4 (node/0.10.48)", json!(origin)).await, platform("20260101T000000Z"));
}

async fn mistakes_are_told_in_order(app: &TestApp) {
    let uuid = fresh();
    let call = app.operator().call(Method::POST, &format!("/images/{uuid}?action=import&account=x"));
    call.header("content-type", "application/json").body("{").send().await.refused(400, "InvalidContent");
    let bad = json!({"uuid": "x", "origin": "x", "owner": NOBODY, "published_at": 5, "colour": 1});
    // Any `account` is rejected.
    import(app, &uuid, "&account=x", &bad).await.refused(403, "OperatorOnly");
    import(app, &uuid, "&account=a&account=b", &bad).await.refused(403, "OperatorOnly");
    let flag = "&account=&skip_owner_check=maybe";
    import(app, &uuid, flag, &bad).await.refused_field("InvalidParameter", "uuid", "Invalid");
    let bad = merged(bad, json!({"uuid": uuid}));
    import(app, &uuid, flag, &bad).await.refused_field("InvalidParameter", "skip_owner_check", "Invalid");
    let taken = merged(bad.clone(), json!({"uuid": BASE}));
    import(app, BASE, "", &taken).await.refused(409, "ImageUuidAlreadyExists");
    import(app, &uuid, "", &bad).await.refused(422, "OriginDoesNotExist");
    let bad = merged(bad, json!({"origin": BASE}));
    import(app, &uuid, "", &bad).await.refused(422, "OwnerDoesNotExist");
    let bad = merged(bad, json!({"owner": LUKE}));
    import(app, &uuid, "", &bad).await.refused_field("InvalidParameter", "published_at", "Invalid");
    let bad = merged(bad, json!({"published_at": "yesterday"}));
    import(app, &uuid, "", &bad).await.refused_field("InvalidParameter", "colour", "Invalid");
    let bad = merged(
        bad,
        json!({"colour": null, "name": "n", "version": "1", "type": "other", "os": "other", "v": 2}),
    );
    import(app, &uuid, "", &bad).await.refused_field("ValidationFailed", "published_at", "Invalid");
    assert!(app.stored(&uuid).await.is_none());
}

async fn a_body_that_is_no_manifest_is_refused(app: &TestApp) {
    for body in [json!(null), json!([]), json!("x"), json!(5)] {
        import(app, NOBODY, "", &body).await.refused_field("ValidationFailed", "body", "MissingParameter");
    }
    app.operator().act(NOBODY, "import").await.refused_field("ValidationFailed", "body", "MissingParameter");
    app.operator().act("x", "import").await.not_found();
    let uuid = fresh();
    for tags in [json!("x"), json!([1]), json!(5)] {
        let body = manifest(&uuid, json!({"tags": tags}));
        import(app, &uuid, "", &body).await.refused_field("ValidationFailed", "tags", "Invalid");
    }
}
