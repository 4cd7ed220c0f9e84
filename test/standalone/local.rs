// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A server with manifests in local files, as a whole. `test/database` tests the rest.

use std::fs;

use serde_json::{Value, json};

use super::configured;
use super::support::{
    NOBODY, SDC, TestApp, fresh, images_keep_their_origins, merged, sha1_of, tests, wait_until, within,
};

tests! {
    a_server_needs_no_moray_and_keeps_what_it_has,
    images_get_origins_that_stay,
    a_damaged_manifest_is_reported_and_restored,
    what_is_no_manifest_does_not_hold_up_a_start,
    two_servers_do_not_share_a_directory,
    pages_are_by_time_and_then_by_uuid,
}

async fn local() -> TestApp {
    let app =
        configured(json!({"mode": "public", "databaseType": "local", "moray": null, "ufds": null})).await;
    app.dc.moray().stop().await;
    app
}

fn manifest() -> Value {
    json!({"owner": SDC, "name": "small", "version": "1", "type": "other", "os": "other", "public": true})
}

async fn a_server_needs_no_moray_and_keeps_what_it_has(_: &TestApp) {
    let mut app = local().await;
    let image = app.operator().create(&manifest()).await.ok();
    let uuid = image["uuid"].as_str().unwrap().to_owned();
    app.operator().upload(&uuid, "compression=none", "bytes").await.ok();
    let active = app.operator().activate(&uuid).await;
    assert_eq!(active.ok()["files"][0]["sha1"], sha1_of(b"bytes"));
    let gone = app.operator().create(&manifest()).await.ok();
    app.operator().delete(gone["uuid"].as_str().unwrap()).await.gone();
    app.operator().get_image(NOBODY).await.not_found();

    app.dc.restart_imgapi().await.unwrap();
    assert_eq!(app.operator().get_image(&uuid).await.text(), active.text());
    assert_eq!(app.operator().list_uuids("state=all").await, std::slice::from_ref(&uuid));
    assert_eq!(app.operator().download(&uuid).await.text(), "bytes");
    app.stop().await;
}

async fn images_get_origins_that_stay(_: &TestApp) {
    let app = local().await;
    images_keep_their_origins(&app, &manifest()).await;
    app.stop().await;
}

async fn a_damaged_manifest_is_reported_and_restored(_: &TestApp) {
    let mut app = local().await;
    let image = app.operator().create(&manifest()).await.ok();
    let uuid = image["uuid"].as_str().unwrap().to_owned();
    app.operator().upload(&uuid, "compression=none", "bytes").await.ok();
    let active = app.operator().activate(&uuid).await;
    let file = app.dc.local_dir().join("manifests").join(format!("{uuid}.raw"));
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    app.dc.restart_imgapi().await.unwrap();
    assert_eq!(app.operator().get_image(&uuid).await.text(), active.text());
    assert_eq!(app.operator().download(&uuid).await.text(), "bytes");
    let metrics = app.metrics().await;
    let damaged = metrics.lines().find(|line| line.starts_with("imgapi_damaged_records{")).unwrap();
    assert!(damaged.ends_with(" 1"), "{damaged}");
    let is_report = |record: &Value| {
        record["msg"] == "a manifest is damaged"
            && record["file"] == format!("{uuid}.raw")
            && record["level"] == 50
    };
    wait_until("the damage is logged", async || app.log().iter().any(is_report).then_some(())).await;
    app.stop().await;
}

async fn what_is_no_manifest_does_not_hold_up_a_start(_: &TestApp) {
    let mut app = local().await;
    let image = app.operator().create(&manifest()).await.ok();
    let uuid = image["uuid"].as_str().unwrap();
    app.operator().upload(uuid, "compression=none", "bytes").await.ok();
    app.operator().activate(uuid).await.ok();
    let manifests = app.dc.local_dir().join("manifests");
    app.dc.stop_imgapi().await.unwrap();
    let fifo = manifests.join(format!("{NOBODY}.raw"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::create_dir(manifests.join(format!("{uuid}.raw.new"))).unwrap();
    app.dc.restart_imgapi().await.unwrap();
    assert_eq!(app.operator().list_uuids("state=all").await, [uuid]);
    app.operator().get_image(NOBODY).await.not_found();
    let state = app.operator().get("/state").await.ok().to_string();
    assert!(state.contains("is a FIFO, and no regular file"), "{state}");
    assert!(app.dc.stop_imgapi().await.unwrap().success());
}

async fn two_servers_do_not_share_a_directory(_: &TestApp) {
    let app = local().await;
    let directory = app.dc.local_dir();
    let mut config: Value = serde_json::from_slice(&fs::read(app.dc.config_file()).unwrap()).unwrap();
    (config["port"], config["metricsPort"]) = (json!(0), json!(0));
    let file = app.dc.data_dir().join("second.config.json");
    fs::write(&file, config.to_string()).unwrap();
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_imgapi"))
        .args(["serve", "-f"])
        .arg(file)
        .env("IMGAPI_LOCAL_BASE_DIR", &directory)
        .kill_on_drop(true)
        .output();
    let second = within("the end of the second server", second).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8(second.stderr).unwrap();
    let expected = format!(
        "imgapi: another process uses the directory {}: every server needs one of its own\n",
        directory.display()
    );
    assert!(message.ends_with(&expected), "{message}");
    app.operator().get("/images").await.ok();
    app.stop().await;
}

/// The times have milliseconds or not, and several images share a time.
async fn pages_are_by_time_and_then_by_uuid(_: &TestApp) {
    let app = local().await;
    let times = ["10:00:00Z", "10:00:00.250Z", "10:00:00.000Z", "09:59:59.999Z"];
    let mut expected = Vec::new();
    for time in times.iter().cycle().take(12) {
        let uuid = fresh();
        expected.push((format!("{:0<12}", time.replace(['Z', '.'], "")), uuid.clone()));
        let time = json!(format!("2037-01-01T{time}"));
        let body = merged(manifest(), json!({"v": 2, "uuid": uuid, "published_at": time}));
        let target = format!("/images/{uuid}?action=import");
        app.operator().call(reqwest::Method::POST, &target).json(&body).send().await.ok();
        app.operator().upload(&uuid, "compression=none", "bytes").await.ok();
        assert_eq!(app.operator().activate(&uuid).await.ok()["published_at"], time);
    }
    expected.sort();
    let mut expected: Vec<_> = expected.into_iter().map(|(_, uuid)| uuid).collect();
    for sort in ["asc", "desc"] {
        let query = format!("sort=published_at.{sort}");
        let mut walked = app.operator().list_uuids(&format!("{query}&limit=4")).await;
        loop {
            let marker = walked.pop().unwrap();
            let page = app.operator().list_uuids(&format!("{query}&limit=4&marker={marker}")).await;
            assert_eq!(page[0], marker);
            walked.extend(page.iter().cloned());
            if page.len() < 4 {
                break;
            }
        }
        assert_eq!(walked, expected, "{sort}");
        expected.reverse();
    }
    app.stop().await;
}
