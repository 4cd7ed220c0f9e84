// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Concurrent requests for one image.

use std::collections::HashSet;
use std::fs;

use futures_util::future::join_all;
use moray::{DeleteOptions, Precondition, PutOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    LUKE, TestApp, fresh, images_keep_their_origins, merged, sha1_of, small_manifest, small_record, tests,
};

tests! {
    the_last_of_several_uploads_wins_and_none_is_mixed,
    an_upload_that_meets_an_activation_is_refused,
    a_deletion_ends_the_uploads_to_its_image,
    an_upload_that_meets_a_deletion_elsewhere_finds_nothing,
    an_upload_of_which_the_image_changed_hands_is_refused,
    an_image_is_activated_once,
    no_write_is_lost_to_another_writer,
    changes_of_one_image_at_once_all_take_effect,
    of_changes_under_one_condition_one_is_made,
    a_uuid_is_taken_by_one_of_many,
    a_download_ends_with_the_file_it_began_with,
    what_another_process_writes_is_seen_at_once,
    images_get_origins_that_stay,
}

async fn the_last_of_several_uploads_wins_and_none_is_mixed(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let bodies: Vec<Vec<u8>> = (0..6u8).map(|n| vec![n; 200_000 + usize::from(n)]).collect();
    let uploads = bodies.iter().map(|body| app.luke().upload(&uuid, "compression=none", body.clone()));
    for answer in join_all(uploads).await {
        answer.ok();
    }
    let image = app.luke().get_image(&uuid).await.ok();
    let file = app.luke().download(&uuid).await;
    assert_eq!(image["files"][0]["sha1"], sha1_of(&file.body));
    assert_eq!(image["files"][0]["size"], file.body.len());
    assert!(bodies.iter().any(|body| body == &file.body[..]));
    assert_eq!(fs::read(app.file(&uuid)).unwrap(), file.body);
    app.nothing_unfinished().await;
}

async fn an_upload_that_meets_an_activation_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"first").await;
    let mut upload = app.half_an_upload(&uuid, "second").await;
    let activated = app.luke().activate(&uuid).await;
    activated.ok();
    upload.send("ond").await;
    upload.read_answer().await.refused(422, "ImageAlreadyActivated");
    assert_eq!(app.luke().download(&uuid).await.text(), "first");
    assert_eq!(app.luke().get_image(&uuid).await.body, activated.body);
    assert_eq!(fs::read(app.file(&uuid)).unwrap(), b"first");
    app.nothing_unfinished().await;
}

/// The uploads are answered although they have sent only half of their bytes.
async fn a_deletion_ends_the_uploads_to_its_image(app: &TestApp) {
    let [uuid, other] = [app.luke().has_image(json!({})).await, app.luke().has_image(json!({})).await];
    let mut uploads = [app.half_an_upload(&uuid, "first").await, app.half_an_upload(&uuid, "second").await];
    let mut elsewhere = app.half_an_upload(&other, "bytes").await;
    app.luke().delete(&uuid).await.gone();
    for upload in &mut uploads {
        upload.read_answer().await.not_found();
    }
    elsewhere.send("tes").await;
    elsewhere.read_answer().await.ok();
    assert!(!app.file(&uuid).exists() && app.stored(&uuid).await.is_none());
    app.nothing_unfinished().await;
}

async fn an_upload_that_meets_a_deletion_elsewhere_finds_nothing(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let mut upload = app.half_an_upload(&uuid, "bytes").await;
    app.moray.del_object("imgapi_images", &uuid, &DeleteOptions::default()).await.unwrap();
    upload.send("tes").await;
    upload.read_answer().await.not_found();
    assert!(!app.file(&uuid).exists() && app.stored(&uuid).await.is_none());
    app.nothing_unfinished().await;
}

async fn an_upload_of_which_the_image_changed_hands_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let mut upload = app.half_an_upload(&uuid, "bytes").await;
    let (mut record, _) = app.stored(&uuid).await.unwrap();
    record["owner"] = json!(fresh());
    app.store(&record).await;
    upload.send("tes").await;
    upload.read_answer().await.not_found();
    assert_eq!(app.stored(&uuid).await.unwrap().0, record);
    app.nothing_unfinished().await;
}

async fn an_image_is_activated_once(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"x").await;
    let answers = join_all((0..8).map(|_| app.luke().activate(&uuid))).await;
    let times: HashSet<String> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.ok()["published_at"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(times.len(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.refused(422, "ImageAlreadyActivated");
    }
    let image = app.luke().get_image(&uuid).await.ok();
    assert!(times.contains(image["published_at"].as_str().unwrap()));
}

/// Another process changes the record, with conditional writes as ours, while files are uploaded.
async fn no_write_is_lost_to_another_writer(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let accounts: Vec<String> = (0..10).map(|_| fresh()).collect();
    let writer = async {
        for account in &accounts {
            loop {
                let (mut record, etag) = app.stored(&uuid).await.unwrap();
                record["acl"].as_array_mut().unwrap().push(json!(account));
                let options = PutOptions { precondition: Precondition::Etag(etag), ..PutOptions::default() };
                match app.moray.put_object("imgapi_images", &uuid, &record, &options).await {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_conflict(), "{error}"),
                }
            }
        }
    };
    let uploads = async {
        for body in ["a", "bb", "ccc", "dddd"] {
            app.luke().upload(&uuid, "compression=none", body).await.ok();
        }
    };
    tokio::join!(writer, uploads);
    let image = app.luke().activate(&uuid).await.ok();
    assert_eq!((&image["acl"], &image["files"][0]["size"]), (&json!(accounts), &json!(4)));
    app.luke().delete(&uuid).await.gone();
}

/// Concurrent updates of different members, an ACL that grows and shrinks, and files.
async fn changes_of_one_image_at_once_all_take_effect(app: &TestApp) {
    let stays = fresh();
    let uuid = app.luke().has_image_with_file(json!({"acl": [stays]}), b"x").await;
    let names = ["description", "homepage", "eula"];
    let update = async |name: &str, value: Value| {
        let target = format!("/images/{uuid}?action=update");
        app.luke().call(Method::POST, &target).json(&json!({ name: value })).send().await.ok();
    };
    let acl = async |query: &str, account: &str| {
        let target = format!("/images/{uuid}/acl{query}");
        app.luke().call(Method::POST, &target).json(&json!([account])).send().await.ok();
    };
    let accounts: Vec<String> = (0..24).map(|_| fresh()).collect();
    let updates = names.iter().map(async |name| {
        for round in 0..8 {
            update(name, json!(if round < 7 { format!("http://{round}") } else { format!("http://{name}") }))
                .await;
        }
    });
    let updates = join_all(updates);
    let additions = join_all(accounts.iter().enumerate().map(async |(index, account)| {
        acl("", account).await;
        if index % 2 == 1 {
            acl("?action=remove", account).await;
        }
    }));
    let uploads = async {
        for body in ["a", "bb", "ccc"] {
            app.luke().upload(&uuid, "compression=none", body).await.ok();
        }
    };
    tokio::join!(updates, additions, uploads);
    let image = app.luke().get_image(&uuid).await.ok();
    let mut expected: Vec<&String> = accounts.iter().step_by(2).chain([&stays]).collect();
    let mut found: Vec<String> = serde_json::from_value(image["acl"].clone()).unwrap();
    expected.sort();
    found.sort();
    assert!(found.iter().eq(expected));
    for name in names {
        assert_eq!(image[name], format!("http://{name}"), "{name}");
    }
    assert_eq!(image["files"][0]["size"], 3);
}

async fn of_changes_under_one_condition_one_is_made(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let mut etag = app.luke().get_image(&uuid).await.header("etag").unwrap().to_owned();
    for round in 0..4 {
        let change = async |n: usize| {
            let target = format!("/images/{uuid}?action=update");
            let call = app.luke().call(Method::POST, &target).header("if-match", &etag);
            call.json(&json!({"description": format!("{round}.{n}")})).send().await
        };
        let answers = join_all((0..12).map(change)).await;
        let [made]: [_; 1] =
            answers.iter().filter(|a| a.status == 200).collect::<Vec<_>>().try_into().unwrap();
        for other in answers.iter().filter(|answer| answer.status != 200) {
            other.refused(412, "PreconditionFailed");
        }
        let image = app.luke().get_image(&uuid).await;
        assert_eq!(image.body, made.body);
        etag = image.header("etag").unwrap().to_owned();
    }
}

async fn a_uuid_is_taken_by_one_of_many(app: &TestApp) {
    let new = fresh();
    let images: Vec<String> =
        join_all((0..6).map(|_| app.luke().has_image_with_file(json!({}), b"bytes"))).await;
    let rename = async |uuid: &String| {
        let target = format!("/images/{uuid}?action=update");
        app.operator().call(Method::POST, &target).json(&json!({"uuid": new})).send().await
    };
    let answers = join_all(images.iter().map(rename)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for (uuid, answer) in images.iter().zip(&answers) {
        if answer.status == 200 {
            app.luke().get_image(uuid).await.not_found();
        } else {
            answer.refused(409, "ImageUuidAlreadyExists");
            assert_eq!(app.luke().download(uuid).await.text(), "bytes");
        }
    }
    assert_eq!(app.luke().download(&new).await.text(), "bytes");
    app.nothing_unfinished().await;
}

async fn a_download_ends_with_the_file_it_began_with(app: &TestApp) {
    // More bytes than socket buffers hold.
    let bytes = vec![1; 32 << 20];
    let uuid = app.luke().has_image(json!({})).await;
    app.luke().upload(&uuid, "compression=none", bytes.clone()).await.ok();
    let mut connection = app.connect().await;
    connection.send(format!("GET /images/{uuid}/file HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let head = connection.read_head().await;
    app.luke().upload(&uuid, "compression=none", "other").await.ok();
    app.luke().delete(&uuid).await.gone();
    assert_eq!(sha1_of(&connection.read_body(&head).await), sha1_of(&bytes));
}

async fn what_another_process_writes_is_seen_at_once(app: &TestApp) {
    let (uuid, owner) = (fresh(), fresh());
    let list = format!("owner={owner}");
    app.operator().get_image(&uuid).await.not_found();
    assert_eq!(app.operator().list(&list).await.len(), 0);
    for version in ["1", "2"] {
        app.store(&small_record(json!({"uuid": uuid, "owner": owner, "version": version}))).await;
        assert_eq!(app.operator().get_image(&uuid).await.ok()["version"], version);
        assert_eq!(app.operator().list(&list).await[0]["version"], version);
    }
    app.operator().delete(&uuid).await.gone();
    app.operator().get_image(&uuid).await.not_found();
    assert_eq!(app.operator().list(&list).await.len(), 0);
}

async fn images_get_origins_that_stay(app: &TestApp) {
    images_keep_their_origins(app, &merged(small_manifest(), json!({"owner": LUKE}))).await;
}
