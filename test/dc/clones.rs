// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! CloneImage.

use std::fs;
use std::os::unix::fs::MetadataExt;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, Answer, BASE, JOIN_US, LUKE, NOBODY, TARKIN, TestApp, fresh, sha1_of, small_record, tests,
};

/// The account that clones images.
const ACCOUNT: &str = ADMIN;
const BY_ACCOUNT: &str = "?account=930896af-bf8c-48d4-885c-6573a94b1853";

tests! {
    a_clone_is_the_accounts_own_image,
    origins_are_cloned_up_to_one_that_everybody_shares,
    icon_and_urn_stay_with_the_image,
    only_a_shared_active_image_can_be_cloned,
    what_fails_half_way_leaves_nothing,
    a_damaged_file_is_not_copied,
    a_file_that_an_old_record_does_not_describe_is_copied,
    a_chain_has_an_end,
    only_accounts_get_clones,
    nothing_is_copied_that_the_account_may_not_read,
    origins_are_activated,
}

async fn clone(app: &TestApp, uuid: &str, query: &str) -> Answer {
    app.operator().call(Method::POST, &format!("/images/{uuid}/clone{query}")).send().await
}

/// Returns luke's active image, shared with the account.
async fn shared(app: &TestApp, changes: Value) -> String {
    let uuid = app.luke().has_active_image(changes).await;
    let call = app.luke().call(Method::POST, &format!("/images/{uuid}/acl"));
    call.json(&json!([ACCOUNT])).send().await.ok();
    uuid
}

/// Returns the account's images with this name, which only this test uses.
async fn clones_of(app: &TestApp, name: &str) -> Vec<Value> {
    app.operator().list(&format!("owner={ACCOUNT}&name={name}&state=all")).await
}

async fn a_clone_is_the_accounts_own_image(app: &TestApp) {
    let changes = json!({"tags": {"a": 1}, "billing_tags": ["b"], "description": "d", "public": true});
    let source = shared(app, changes).await;
    let answer = clone(app, &source, BY_ACCOUNT).await;
    let image = answer.ok();
    let uuid = image["uuid"].as_str().unwrap();
    assert_eq!(
        (answer.header("etag"), &image["owner"], &image["state"]),
        (None, &json!(ACCOUNT), &json!("active"))
    );
    let original = app.luke().get_image(&source).await.ok();
    for name in ["name", "version", "type", "os", "files", "tags", "billing_tags", "description", "public"] {
        assert_eq!(image[name], original[name], "{name}");
    }
    assert_eq!((image.get("acl"), image.get("origin")), (None, None));
    assert_ne!(image["published_at"], original["published_at"]);
    assert_eq!(app.operator().get_image(uuid).await.ok(), image);
    assert!(app.archived(uuid).exists());
    // The bytes are a copy, so that each image can be deleted without the other.
    let inode = |uuid: &str| fs::metadata(app.file(uuid)).unwrap().ino();
    assert_ne!(inode(uuid), inode(&source));
    app.luke().delete(&source).await.gone();
    assert_eq!(app.operator().download(uuid).await.text(), "file");
    app.operator().delete(uuid).await.gone();
    app.nothing_unfinished().await;
}

async fn origins_are_cloned_up_to_one_that_everybody_shares(app: &TestApp) {
    let base = app.admin().has_active_image(json!({"public": true})).await;
    let [lower, upper] = [(); 2].map(|()| fresh());
    let middle = app.luke().has_active_image(json!({"origin": base, "name": lower})).await;
    let top = shared(app, json!({"origin": middle, "name": upper})).await;
    let image = clone(app, &top, BY_ACCOUNT).await.ok();
    let middle_clone = app.operator().get_image(image["origin"].as_str().unwrap()).await.ok();
    assert_eq!((&middle_clone["name"], &middle_clone["owner"]), (&json!(lower), &json!(ACCOUNT)));
    assert_eq!((&middle_clone["state"], &middle_clone["origin"]), (&json!("disabled"), &json!(base)));
    assert_eq!((&image["name"], &image["state"]), (&json!(upper), &json!("active")));
    assert_eq!((clones_of(app, &lower).await.len(), clones_of(app, &upper).await.len()), (1, 1));
    assert_eq!(app.operator().download(middle_clone["uuid"].as_str().unwrap()).await.text(), "file");
}

async fn icon_and_urn_stay_with_the_image(app: &TestApp) {
    let source = shared(app, json!({})).await;
    let (mut record, _) = app.stored(&source).await.unwrap();
    record["urn"] = json!(format!("a:b:{source}:1"));
    app.store(&record).await;
    let call =
        app.luke().call(Method::PUT, &format!("/images/{source}/icon")).header("content-type", "image/png");
    call.body("icon").send().await.ok();
    let image = clone(app, &source, BY_ACCOUNT).await.ok();
    assert_eq!((image.get("icon"), image.get("urn")), (None, None));
}

async fn only_a_shared_active_image_can_be_cloned(app: &TestApp) {
    clone(app, "x", "?account=x").await.not_found();
    clone(app, NOBODY, "?account=x").await.refused_field("InvalidParameter", "account", "Invalid");
    clone(app, NOBODY, BY_ACCOUNT).await.not_found();
    clone(app, JOIN_US, BY_ACCOUNT).await.not_found();
    let private = app.luke().has_active_image(json!({})).await;
    clone(app, &private, "").await.refused_field("InvalidParameter", "account", "Invalid");
    clone(app, &private, BY_ACCOUNT).await.not_found();
    // It is not enough that an image is public, or that the account owns it.
    clone(app, BASE, BY_ACCOUNT).await.refused(422, "ImageNotShared");
    clone(app, &private, &format!("?account={LUKE}")).await.refused(422, "ImageNotShared");
    let draft = app.luke().has_image(json!({})).await;
    let refused = clone(app, &draft, &format!("?account={LUKE}")).await;
    refused.refused_field("ValidationFailed", "active", "Invalid");
    let docker = shared(app, json!({"type": "docker", "os": "linux"})).await;
    clone(app, &docker, BY_ACCOUNT).await.refused_field("ValidationFailed", "type", "Invalid");
    let name = fresh();
    let file = |sha1: &str| json!({"sha1": sha1, "size": 4, "compression": "none", "stor": "local"});
    let two =
        small_record(json!({"name": name, "type": "lxd", "acl": [ACCOUNT], "files": [file("a"), file("b")]}));
    let mut manta = file("a");
    manta["stor"] = json!("manta");
    let manta = small_record(json!({"name": name, "acl": [ACCOUNT], "files": [manta]}));
    let orphan = small_record(json!({"name": name, "acl": [ACCOUNT], "origin": NOBODY}));
    app.store_all(&[two.clone(), manta.clone(), orphan.clone()]).await;
    clone(app, two["uuid"].as_str().unwrap(), BY_ACCOUNT).await.refused(400, "NotImplemented");
    clone(app, manta["uuid"].as_str().unwrap(), BY_ACCOUNT).await.refused(503, "StorageUnsupported");
    clone(app, orphan["uuid"].as_str().unwrap(), BY_ACCOUNT).await.refused(422, "OriginDoesNotExist");
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
}

async fn what_fails_half_way_leaves_nothing(app: &TestApp) {
    let name = fresh();
    let base = app.luke().has_active_image(json!({"name": name})).await;
    let middle = app.luke().has_active_image(json!({"name": name, "origin": base})).await;
    let top = shared(app, json!({"name": name, "origin": middle})).await;
    fs::remove_file(app.file(&top)).unwrap();
    clone(app, &top, BY_ACCOUNT).await.refused(500, "InternalError");
    // The clones that were made before are deleted with their files.
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
    app.nothing_unfinished().await;
}

async fn a_damaged_file_is_not_copied(app: &TestApp) {
    let name = fresh();
    let source = shared(app, json!({"name": name})).await;
    fs::write(app.file(&source), "FILE").unwrap();
    assert_ne!(sha1_of(b"FILE"), sha1_of(b"file"));
    clone(app, &source, BY_ACCOUNT).await.refused(500, "InternalError");
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
    app.nothing_unfinished().await;
}

async fn a_file_that_an_old_record_does_not_describe_is_copied(app: &TestApp) {
    let record = small_record(json!({"acl": [ACCOUNT]}));
    assert!(record["files"][0].get("contentMD5").is_none());
    let source = record["uuid"].as_str().unwrap();
    fs::create_dir_all(app.file(source).parent().unwrap()).unwrap();
    fs::write(app.file(source), "another\n").unwrap();
    app.store(&record).await;
    let copy = clone(app, source, BY_ACCOUNT).await.ok();
    assert_eq!(copy["files"][0]["size"], 4, "as the record says");
    assert_eq!(fs::read(app.file(copy["uuid"].as_str().unwrap())).unwrap(), b"another\n");
}

async fn a_chain_has_an_end(app: &TestApp) {
    let name = fresh();
    let uuids: Vec<String> = (0..101).map(|_| fresh()).collect();
    let records = uuids.iter().enumerate().map(|(index, uuid)| {
        small_record(json!({"uuid": uuid, "name": name, "acl": [ACCOUNT], "origin": uuids.get(index + 1)}))
    });
    app.store_all(&records.collect::<Vec<_>>()).await;
    clone(app, &uuids[0], BY_ACCOUNT).await.refused(500, "InternalError");
    // A chain of origins that forms a circle has no root.
    let tail = uuids[3].as_str();
    app.store(&small_record(
        json!({"uuid": tail, "name": name, "acl": [ACCOUNT, ADMIN], "origin": uuids[1]}),
    ))
    .await;
    clone(app, &uuids[0], BY_ACCOUNT).await.refused(500, "InternalError");
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
}

async fn only_accounts_get_clones(app: &TestApp) {
    let (nobody, name) = (fresh(), fresh());
    let changes = json!({"name": name, "acl": [nobody, TARKIN]});
    let source = app.luke().has_active_image(changes).await;
    for account in [&*nobody, TARKIN] {
        let refused = clone(app, &source, &format!("?account={account}")).await;
        assert!(refused.refused(422, "OwnerDoesNotExist").message.contains(account));
        assert_eq!(app.operator().list(&format!("owner={account}&state=all")).await, Vec::<Value>::new());
    }
}

/// An image of luke's, from before origins were checked, is based on one that neither he nor the account may read. Such an origin
/// is treated as missing.
async fn nothing_is_copied_that_the_account_may_not_read(app: &TestApp) {
    let name = fresh();
    let [private, promised] = [
        small_record(json!({"name": name})),
        small_record(json!({"name": name, "public": true, "activated": false, "state": "unactivated"})),
    ];
    app.store_all(&[private.clone(), promised.clone()]).await;
    let of = |origin: &str| json!({"owner": LUKE, "name": name, "acl": [ACCOUNT], "origin": origin});
    let mut messages = Vec::new();
    for origin in [private["uuid"].as_str().unwrap(), promised["uuid"].as_str().unwrap(), NOBODY] {
        let middle = small_record(of(origin));
        let top = small_record(of(middle["uuid"].as_str().unwrap()));
        app.store_all(&[middle.clone(), top.clone()]).await;
        for image in [middle, top] {
            let refused = clone(app, image["uuid"].as_str().unwrap(), BY_ACCOUNT).await;
            messages.push(refused.refused(422, "OriginDoesNotExist").message.replace(origin, "X"));
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
}

async fn origins_are_activated(app: &TestApp) {
    let name = fresh();
    let draft = app.luke().has_image(json!({"name": name})).await;
    let top = small_record(json!({"owner": LUKE, "name": name, "acl": [ACCOUNT], "origin": draft}));
    app.store(&top).await;
    clone(app, top["uuid"].as_str().unwrap(), BY_ACCOUNT).await.refused(422, "OriginIsNotActive");
    assert_eq!(clones_of(app, &name).await, Vec::<Value>::new());
}
