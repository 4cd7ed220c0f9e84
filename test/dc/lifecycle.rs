// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The life of an image from creation to deletion.

use std::fs;

use serde_json::{Value, json};

use super::support::{BASE, FATHER, JOIN_US, LUKE, NOBODY, TestApp, fresh, sha1_of, small_record, tests};

tests! {
    an_image_lives_as_its_owner_says,
    an_activation_needs_a_file_and_happens_once,
    an_image_created_disabled_is_disabled_when_activated,
    a_time_of_publication_is_kept,
    an_image_with_dependents_is_kept,
    many_dependents_are_counted_and_some_named,
    a_deletion_takes_the_file_along,
    whatever_state_an_image_is_in_it_can_be_deleted,
    only_the_owner_deletes,
}

async fn an_image_lives_as_its_owner_says(app: &TestApp) {
    let luke = app.luke();
    let body = json!({"name": "what-a_piece.of junk", "version": "1.0.0", "description": "a ship", "os": "smartos",
        "type": "zone-dataset", "public": true, "requirements": {"brand": "joyent-minimal"},
        "tags": {"key": "value"}, "billing_tags": ["a"], "traits": {"b": true}});
    let created = luke.create(&body).await.ok();
    let uuid = created["uuid"].as_str().unwrap();
    app.vader().get_image(uuid).await.not_found();
    let bytes = b"\x42\x5a\x68 a very small ship";
    let query = format!("compression=bzip2&sha1={}&dataset_guid=9080214691143124906", sha1_of(bytes));
    let uploaded = luke.upload(uuid, &query, &bytes[..]).await.ok();
    assert_eq!(
        (&uploaded["files"][0]["sha1"], &uploaded["files"][0]["size"]),
        (&json!(sha1_of(bytes)), &json!(bytes.len()))
    );
    let activated = luke.activate(uuid).await;
    assert_eq!(activated.ok()["state"], "active");
    let published = activated.ok()["published_at"].as_str().unwrap().to_owned();
    assert!(published.len() == 24 && published.ends_with('Z'), "{published}");

    // All callers get the same bytes.
    assert_eq!(app.vader().get_image(uuid).await.body, activated.body);
    assert_eq!(luke.get_image(uuid).await.body, activated.body);
    let [listed]: [Value; 1] =
        app.vader().list(&format!("owner={LUKE}&tag.key=value&name=~piece")).await.try_into().unwrap();
    assert_eq!(listed, activated.ok());
    let file = app.vader().download(uuid).await;
    assert_eq!((&file.body[..], sha1_of(&file.body)), (&bytes[..], sha1_of(bytes)));

    app.vader().delete(uuid).await.refused(422, "NotImageOwner");
    luke.delete(uuid).await.gone();
    luke.get_image(uuid).await.not_found();
    luke.download(uuid).await.not_found();
    luke.delete(uuid).await.not_found();
    assert_eq!(app.vader().list(&format!("owner={LUKE}&tag.key=value")).await.len(), 0);
}

async fn an_activation_needs_a_file_and_happens_once(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let refusal = app.luke().activate(&uuid).await.refused(422, "NoActivationNoFile");
    assert!(refusal.message.contains(&uuid));
    app.luke().upload(&uuid, "compression=none", "x").await.ok();
    let first = app.luke().activate(&uuid).await.ok();
    let refusal = app.luke().activate(&uuid).await.refused(422, "ImageAlreadyActivated");
    assert!(refusal.message.contains(&uuid));
    assert_eq!(app.luke().get_image(&uuid).await.ok(), first);
    app.luke().activate(FATHER).await.refused(422, "NotImageOwner");
    app.luke().activate(JOIN_US).await.not_found();
    app.operator().activate(NOBODY).await.not_found();
}

async fn an_image_created_disabled_is_disabled_when_activated(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({"disabled": true}), b"x").await;
    let image = app.luke().activate(&uuid).await.ok();
    assert_eq!((&image["state"], &image["disabled"]), (&json!("disabled"), &json!(true)));
}

async fn a_time_of_publication_is_kept(app: &TestApp) {
    let uuid = fresh();
    let draft = json!({"uuid": uuid, "owner": LUKE, "activated": false, "state": "unactivated", "published_at": "2012-10-11T14:40:57Z",
        "expires_at": "2013-01-01T00:00:00.000Z"});
    app.store(&small_record(draft)).await;
    app.luke().upload(&uuid, "compression=none", "file").await.ok();
    let image = app.luke().activate(&uuid).await.ok();
    assert_eq!(image["published_at"], "2012-10-11T14:40:57Z");
    let (record, _) = app.stored(&uuid).await.unwrap();
    assert_eq!((&record["expires_at"], &record["activated"]), (&json!(null), &json!(true)));
    app.luke().delete(&uuid).await.gone();
}

async fn an_image_with_dependents_is_kept(app: &TestApp) {
    let luke = app.luke();
    let origin = luke.has_active_image(json!({})).await;
    let child = luke.has_image(json!({"origin": origin})).await;
    let refusal = luke.delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert!(refusal.message.contains(&origin) && refusal.message.contains(&child), "{refusal:?}");
    assert_eq!(luke.download(&origin).await.text(), "file");
    // A dependent that is not visible counts, too, because its record may be repaired.
    let broken = fresh();
    app.store(&small_record(json!({"uuid": broken, "origin": origin, "os": "beos"}))).await;
    luke.delete(&child).await.gone();
    let refusal = app.operator().delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert!(refusal.message.contains(&broken), "{refusal:?}");
    let refusal = luke.delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert!(refusal.message.contains("1 ") && !refusal.message.contains(&broken), "{refusal:?}");
    app.store(&small_record(json!({"uuid": broken}))).await;
    luke.delete(&origin).await.gone();
}

async fn many_dependents_are_counted_and_some_named(app: &TestApp) {
    let origin = app.luke().has_image(json!({})).await;
    let children: Vec<String> = (0..10).map(|_| fresh()).collect();
    let records = children.iter().map(|uuid| small_record(json!({"uuid": uuid, "origin": origin})));
    let records: Vec<_> = records.collect();
    let named = |message: &str| children.iter().filter(|uuid| message.contains(uuid.as_str())).count();
    app.store_all(&records[..9]).await;
    let refusal = app.operator().delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert_eq!(named(&refusal.message), 9);
    app.store_all(&records[9..]).await;
    let refusal = app.operator().delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert_eq!(named(&refusal.message), 5);
    assert!(refusal.message.contains("10 "), "{refusal:?}");
    // An account is told only about the dependents that it may see.
    let refusal = app.luke().delete(&origin).await.refused(422, "ImageHasDependentImages");
    assert_eq!(named(&refusal.message), 0);
    let visible = app.luke().has_image(json!({})).await;
    app.store(&small_record(json!({"uuid": children[0], "origin": visible, "acl": [LUKE]}))).await;
    let refusal = app.luke().delete(&visible).await.refused(422, "ImageHasDependentImages");
    assert_eq!(named(&refusal.message), 1);
}

async fn a_deletion_takes_the_file_along(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let file = app.file(&uuid);
    assert!(file.exists());
    app.luke().delete(&uuid).await.gone();
    assert!(!file.exists() && !file.parent().unwrap().exists());
    assert!(app.archived(&uuid).exists(), "the last manifest stays");
    assert!(app.stored(&uuid).await.is_none());
    // A stray file in the directory stays, and the directory with it.
    let uuid = app.luke().has_active_image(json!({})).await;
    let other = app.file(&uuid).with_file_name("icon");
    fs::write(&other, "icon").unwrap();
    app.luke().delete(&uuid).await.gone();
    assert!(other.exists() && !app.file(&uuid).exists());
}

async fn whatever_state_an_image_is_in_it_can_be_deleted(app: &TestApp) {
    let draft = app.luke().has_image(json!({})).await;
    app.luke().delete(&draft).await.gone();
    // The file of this image is already missing.
    let uuid = app.luke().has_active_image(json!({})).await;
    fs::remove_file(app.file(&uuid)).unwrap();
    app.luke().delete(&uuid).await.gone();
    // The next ones are placeholders.
    for state in ["creating", "failed"] {
        let uuid = fresh();
        let placeholder = json!({"uuid": uuid, "owner": LUKE, "state": state, "activated": false, "type": "null", "os": "null",
            "files": null, "published_at": null});
        app.store(&small_record(placeholder)).await;
        app.luke().delete(&uuid).await.gone();
    }
    // A record that is not visible cannot be deleted.
    let broken = fresh();
    app.store(&small_record(json!({"uuid": broken, "os": "beos"}))).await;
    app.operator().delete(&broken).await.not_found();
}

async fn only_the_owner_deletes(app: &TestApp) {
    app.luke().delete(BASE).await.refused(422, "NotImageOwner");
    app.luke().delete(FATHER).await.refused(422, "NotImageOwner");
    app.luke().delete(JOIN_US).await.not_found();
    app.operator().delete(NOBODY).await.not_found();
    // The request as clients send it.
    let uuid = app.luke().has_image(json!({})).await;
    let mut connection = app.connect().await;
    let delete = format!("DELETE /images/{uuid}?account={LUKE}&force_all_channels=true HTTP/1.1");
    let answer = connection.exchange(&[&delete, "Host: x", "Content-Length: 0"]).await;
    answer.gone();
    assert_eq!(connection.exchange(&["GET /ping HTTP/1.1", "Host: x"]).await.status, 200);
}
