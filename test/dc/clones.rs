//! CloneImage.

use std::fs;
use std::os::unix::fs::MetadataExt;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, Answer, BASE, JOIN_US, LUKE, NOBODY, TestApp, fresh, sha1_of, small_record, tests,
};

tests! {
    a_clone_is_the_accounts_own_image,
    origins_are_cloned_up_to_one_that_everybody_shares,
    icon_and_urn_stay_with_the_image,
    only_a_shared_active_image_can_be_cloned,
    what_fails_half_way_leaves_nothing,
    a_damaged_file_is_not_copied,
    a_file_that_an_old_record_does_not_describe_is_copied,
    a_chain_has_an_end,
}

async fn clone(app: &TestApp, uuid: &str, query: &str) -> Answer {
    app.operator().call(Method::POST, &format!("/images/{uuid}/clone{query}")).send().await
}

/// luke's active image, shared with `account`.
async fn shared_with(app: &TestApp, account: &str, changes: Value) -> String {
    let uuid = app.luke().has_active_image(changes).await;
    let call = app.luke().call(Method::POST, &format!("/images/{uuid}/acl"));
    call.json(&json!([account])).send().await.ok();
    uuid
}

async fn images_of(app: &TestApp, account: &str) -> Vec<Value> {
    app.operator().list(&format!("owner={account}&state=all")).await
}

async fn a_clone_is_the_accounts_own_image(app: &TestApp) {
    let account = fresh();
    let changes = json!({"tags": {"a": 1}, "billing_tags": ["b"], "description": "d", "public": true});
    let source = shared_with(app, &account, changes).await;
    let answer = clone(app, &source, &format!("?account={account}")).await;
    let image = answer.ok();
    let uuid = image["uuid"].as_str().unwrap();
    assert_eq!(
        (answer.header("etag"), &image["owner"], &image["state"]),
        (None, &json!(account), &json!("active"))
    );
    let original = app.luke().get_image(&source).await.ok();
    for name in ["name", "version", "type", "os", "files", "tags", "billing_tags", "description", "public"] {
        assert_eq!(image[name], original[name], "{name}");
    }
    assert_eq!((image.get("acl"), image.get("origin")), (None, None));
    assert_ne!(image["published_at"], original["published_at"]);
    assert_eq!(app.operator().get_image(uuid).await.ok(), image);
    assert!(app.archived(uuid).exists());
    // The bytes are a copy: each image can go without the other.
    let inode = |uuid: &str| fs::metadata(app.file(uuid)).unwrap().ino();
    assert_ne!(inode(uuid), inode(&source));
    app.luke().delete(&source).await.gone();
    assert_eq!(app.operator().download(uuid).await.text(), "file");
    app.operator().delete(uuid).await.gone();
    app.nothing_unfinished().await;
}

async fn origins_are_cloned_up_to_one_that_everybody_shares(app: &TestApp) {
    let account = fresh();
    let base = app.admin().has_active_image(json!({"public": true})).await;
    let middle = app.luke().has_active_image(json!({"origin": base, "name": "middle"})).await;
    let top = shared_with(app, &account, json!({"origin": middle, "name": "top"})).await;
    let image = clone(app, &top, &format!("?account={account}")).await.ok();
    let middle_clone = app.operator().get_image(image["origin"].as_str().unwrap()).await.ok();
    assert_eq!((&middle_clone["name"], &middle_clone["owner"]), (&json!("middle"), &json!(account)));
    assert_eq!((&middle_clone["state"], &middle_clone["origin"]), (&json!("disabled"), &json!(base)));
    assert_eq!((&image["name"], &image["state"]), (&json!("top"), &json!("active")));
    assert_eq!(images_of(app, &account).await.len(), 2);
    assert_eq!(app.operator().download(middle_clone["uuid"].as_str().unwrap()).await.text(), "file");
}

async fn icon_and_urn_stay_with_the_image(app: &TestApp) {
    let account = fresh();
    let source = shared_with(app, &account, json!({})).await;
    let (mut record, _) = app.stored(&source).await.unwrap();
    record["urn"] = json!(format!("a:b:{source}:1"));
    app.store(&record).await;
    let call =
        app.luke().call(Method::PUT, &format!("/images/{source}/icon")).header("content-type", "image/png");
    call.body("icon").send().await.ok();
    let image = clone(app, &source, &format!("?account={account}")).await.ok();
    assert_eq!((image.get("icon"), image.get("urn")), (None, None));
}

async fn only_a_shared_active_image_can_be_cloned(app: &TestApp) {
    let account = fresh();
    let by = format!("?account={account}");
    clone(app, "x", "?account=x").await.not_found();
    clone(app, NOBODY, "?account=x").await.refused_field("InvalidParameter", "account", "Invalid");
    clone(app, NOBODY, &by).await.not_found();
    clone(app, JOIN_US, &by).await.not_found();
    let private = app.luke().has_active_image(json!({})).await;
    clone(app, &private, "").await.refused_field("InvalidParameter", "account", "Invalid");
    clone(app, &private, &by).await.not_found();
    // Neither that it is public, nor that it is one's own, is enough.
    clone(app, BASE, &by).await.refused(422, "ImageNotShared");
    clone(app, &private, &format!("?account={LUKE}")).await.refused(422, "ImageNotShared");
    let draft = app.luke().has_image(json!({})).await;
    let refused = clone(app, &draft, &format!("?account={LUKE}")).await;
    refused.refused_field("ValidationFailed", "active", "Invalid");
    let docker = shared_with(app, &account, json!({"type": "docker", "os": "linux"})).await;
    clone(app, &docker, &by).await.refused_field("ValidationFailed", "type", "Invalid");
    let file = |sha1: &str| json!({"sha1": sha1, "size": 4, "compression": "none", "stor": "local"});
    let two = small_record(json!({"type": "lxd", "acl": [account], "files": [file("a"), file("b")]}));
    let mut manta = file("a");
    manta["stor"] = json!("manta");
    let manta = small_record(json!({"acl": [account], "files": [manta]}));
    let orphan = small_record(json!({"acl": [account], "origin": NOBODY}));
    app.store_all(&[two.clone(), manta.clone(), orphan.clone()]).await;
    clone(app, two["uuid"].as_str().unwrap(), &by).await.refused(400, "NotImplemented");
    clone(app, manta["uuid"].as_str().unwrap(), &by).await.refused(503, "StorageUnsupported");
    clone(app, orphan["uuid"].as_str().unwrap(), &by).await.refused(404, "ResourceNotFound");
    assert_eq!(images_of(app, &account).await, Vec::<Value>::new());
}

async fn what_fails_half_way_leaves_nothing(app: &TestApp) {
    let account = fresh();
    let base = app.luke().has_active_image(json!({})).await;
    let middle = app.luke().has_active_image(json!({"origin": base})).await;
    let top = shared_with(app, &account, json!({"origin": middle})).await;
    fs::remove_file(app.file(&top)).unwrap();
    clone(app, &top, &format!("?account={account}")).await.refused(500, "InternalError");
    assert_eq!(images_of(app, &account).await, Vec::<Value>::new());
    // Those that were made before are gone with their files.
    assert_eq!(app.operator().list(&format!("owner={account}&state=disabled")).await.len(), 0);
    app.nothing_unfinished().await;
}

async fn a_damaged_file_is_not_copied(app: &TestApp) {
    let account = fresh();
    let source = shared_with(app, &account, json!({})).await;
    fs::write(app.file(&source), "FILE").unwrap();
    assert_ne!(sha1_of(b"FILE"), sha1_of(b"file"));
    clone(app, &source, &format!("?account={account}")).await.refused(500, "InternalError");
    assert_eq!(images_of(app, &account).await, Vec::<Value>::new());
    app.nothing_unfinished().await;
}

async fn a_file_that_an_old_record_does_not_describe_is_copied(app: &TestApp) {
    let account = fresh();
    let record = small_record(json!({"acl": [account]}));
    assert!(record["files"][0].get("contentMD5").is_none());
    let source = record["uuid"].as_str().unwrap();
    fs::create_dir_all(app.file(source).parent().unwrap()).unwrap();
    fs::write(app.file(source), "another\n").unwrap();
    app.store(&record).await;
    let copy = clone(app, source, &format!("?account={account}")).await.ok();
    assert_eq!(copy["files"][0]["size"], 4, "as the record says");
    assert_eq!(fs::read(app.file(copy["uuid"].as_str().unwrap())).unwrap(), b"another\n");
}

async fn a_chain_has_an_end(app: &TestApp) {
    let account = fresh();
    let uuids: Vec<String> = (0..101).map(|_| fresh()).collect();
    let records = uuids.iter().enumerate().map(|(index, uuid)| {
        small_record(json!({"uuid": uuid, "acl": [account], "origin": uuids.get(index + 1)}))
    });
    app.store_all(&records.collect::<Vec<_>>()).await;
    let by = format!("?account={account}");
    clone(app, &uuids[0], &by).await.refused(500, "InternalError");
    // A chain that bites its tail has none.
    let tail = uuids[3].as_str();
    app.store(&small_record(json!({"uuid": tail, "acl": [account, ADMIN], "origin": uuids[1]}))).await;
    clone(app, &uuids[0], &by).await.refused(500, "InternalError");
    assert_eq!(images_of(app, &account).await, Vec::<Value>::new());
}
