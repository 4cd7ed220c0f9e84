// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Concurrent requests that move, replace and delete files of one image. Every answer must be true, no acknowledged write may be
//! lost, and no file may stay that no record names. These tests start their own datacenters.

use std::env;
use std::time::Duration;

use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::future::join_all;
use manta::NewObject;
use rand::random_range;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::manta::Stage;
use super::support::{Answer, TestApp, fresh, sha1_of, tests, wait_until};

tests! {
    moves_in_both_directions_lose_nothing,
    an_upload_beside_moves_is_kept,
    an_upload_that_meets_a_deletion_leaves_nothing_in_manta,
    an_upload_that_meets_a_change_of_the_uuid_leaves_nothing_in_manta,
    uploads_go_on_while_an_icon_comes_and_goes,
    a_deletion_takes_along_what_a_file_displaces,
    a_change_of_the_uuid_that_has_to_wait_for_a_final_name_does_not_wait_for_itself,
    a_change_of_the_uuid_keeps_nobody_waiting_while_files_are_copied,
}

/// Number of images at a time.
const IMAGES: usize = 8;
/// More than the part of an upload that is held back, so that a copy takes some time.
const SIZE: usize = 700_000;

/// More than the buffers of a connection hold, so that a stalled connection blocks its sender.
const LARGE: usize = 24 << 20;

/// Repeats an operation. `IMGAPI_SOAK` multiplies the number of times.
async fn repeat(times: usize, mut round: impl AsyncFnMut()) {
    let factor = env::var("IMGAPI_SOAK").map_or(1, |factor| factor.parse().unwrap());
    for _ in 0..times * factor {
        round().await;
    }
}

async fn start() -> Stage {
    Stage::start_with(|dc| dc.manta(MantaMode::Local)).await
}

fn bytes(seed: u8) -> Vec<u8> {
    vec![seed; SIZE + usize::from(seed)]
}

/// Waits for a random time, about that of a few requests.
async fn a_moment() {
    sleep(Duration::from_millis(random_range(0..40))).await;
}

/// Checks that the image has only the file that was uploaded last.
async fn has_only(stage: &Stage, uuid: &str, bytes: &[u8]) {
    let (record, _) = stage.app.stored(uuid).await.unwrap();
    let file = &record["files"][0];
    assert_eq!(file["sha1"], sha1_of(bytes), "{uuid}");
    assert!(stage.app.operator().download(uuid).await.body == bytes, "{uuid}: {file}");
    let is_local = file["stor"] == "local";
    wait_until("other objects are gone", async || {
        (stage.objects(uuid).await.len() == usize::from(!is_local)).then_some(())
    })
    .await;
    assert_eq!(stage.app.file(uuid).exists(), is_local, "{uuid}");
}

/// Checks that no storage contains a file of the image.
async fn has_nothing(stage: &Stage, uuid: &str) {
    assert_eq!(stage.objects(uuid).await, Vec::<String>::new(), "{uuid}");
    assert!(!stage.app.file(uuid).exists());
}

fn is_one_of(answer: &Answer, statuses: &[u16]) {
    assert!(statuses.contains(&answer.status), "{answer:?}");
}

async fn upload(stage: &Stage, uuid: &str, seed: u8) -> Answer {
    stage.app.operator().upload(uuid, "compression=none&storage=manta", bytes(seed)).await
}

async fn moves_in_both_directions_lose_nothing(_shared: &TestApp) {
    let stage = start().await;
    let uuids = join_all((0..IMAGES).map(async |_| {
        let uuid = stage.app.luke().has_image(json!({})).await;
        upload(&stage, &uuid, 1).await.ok();
        stage.app.luke().activate(&uuid).await.ok();
        uuid
    }))
    .await;
    repeat(3, async || {
        join_all(uuids.iter().map(async |uuid| {
            let (local, manta) = tokio::join!(stage.move_to(uuid, "local"), stage.move_to(uuid, "manta"));
            assert_eq!((local.status, manta.status), (200, 200), "{local:?} {manta:?}");
            has_only(&stage, uuid, &bytes(1)).await;
        }))
        .await;
    })
    .await;
    stage.stop().await;
}

async fn an_upload_beside_moves_is_kept(_shared: &TestApp) {
    let stage = start().await;
    let uuids = join_all((0..IMAGES).map(async |_| {
        let uuid = stage.app.luke().has_image(json!({})).await;
        upload(&stage, &uuid, 1).await.ok();
        uuid
    }))
    .await;
    let mut seed = 1;
    repeat(3, async || {
        seed = seed % 100 + 1;
        join_all(uuids.iter().map(async |uuid| {
            let (uploaded, local, manta) = tokio::join!(
                upload(&stage, uuid, seed),
                stage.move_to(uuid, "local"),
                stage.move_to(uuid, "manta"),
            );
            uploaded.ok();
            is_one_of(&local, &[200, 503]);
            is_one_of(&manta, &[200, 503]);
            has_only(&stage, uuid, &bytes(seed)).await;
        }))
        .await;
    })
    .await;
    stage.stop().await;
}

async fn an_upload_that_meets_a_deletion_leaves_nothing_in_manta(_shared: &TestApp) {
    let stage = start().await;
    repeat(3, async || {
        join_all((0..IMAGES).map(async |image| {
            let uuid = stage.app.luke().has_image(json!({})).await;
            if image % 2 == 0 {
                upload(&stage, &uuid, 1).await.ok();
            }
            let deletion = async {
                a_moment().await;
                stage.app.operator().delete(&uuid).await
            };
            let (first, second, deleted) =
                tokio::join!(upload(&stage, &uuid, 2), upload(&stage, &uuid, 3), deletion);
            is_one_of(&first, &[200, 404]);
            is_one_of(&second, &[200, 404]);
            deleted.gone();
            has_nothing(&stage, &uuid).await;
        }))
        .await;
    })
    .await;
    stage.stop().await;
}

async fn rename(app: &TestApp, old: &str, new: &str) -> Answer {
    let call = app.operator().call(Method::POST, &format!("/images/{old}?action=update"));
    call.json(&json!({"uuid": new})).send().await
}

async fn an_upload_that_meets_a_change_of_the_uuid_leaves_nothing_in_manta(_shared: &TestApp) {
    let stage = start().await;
    repeat(3, async || {
        join_all((0..IMAGES).map(async |_| {
            let (old, new) = (stage.app.luke().has_image(json!({})).await, fresh());
            upload(&stage, &old, 1).await.ok();
            let renaming = async {
                a_moment().await;
                rename(&stage.app, &old, &new).await
            };
            let (uploaded, renamed) = tokio::join!(upload(&stage, &old, 2), renaming);
            is_one_of(&uploaded, &[200, 404]);
            renamed.ok();
            has_nothing(&stage, &old).await;
            has_only(&stage, &new, &bytes(if uploaded.status == 200 { 2 } else { 1 })).await;
        }))
        .await;
    })
    .await;
    stage.stop().await;
}

async fn uploads_go_on_while_an_icon_comes_and_goes(_shared: &TestApp) {
    let stage = start().await;
    let app = &stage.app;
    let uuids = join_all((0..IMAGES).map(|_| app.luke().has_image(json!({})))).await;
    repeat(2, async || {
        join_all(uuids.iter().map(async |uuid| {
            let icon = format!("/images/{uuid}/icon");
            let icons = async {
                for _ in 0..3 {
                    let call = app.operator().call(Method::PUT, &icon).header("content-type", "image/png");
                    call.body("icon").send().await.ok();
                    app.operator().call(Method::DELETE, &icon).send().await.ok();
                }
            };
            let uploads = async {
                for seed in 1..3 {
                    upload(&stage, uuid, seed).await.ok();
                }
            };
            tokio::join!(icons, uploads);
            has_only(&stage, uuid, &bytes(2)).await;
        }))
        .await;
    })
    .await;
    for uuid in &uuids {
        app.luke().delete(uuid).await.gone();
        has_nothing(&stage, uuid).await;
        assert!(stage.manta.head(&Stage::directory(uuid)).await.unwrap_err().is_not_found());
    }
    stage.stop().await;
}

/// The new file cannot be copied to its final name yet, because the old one is there.
async fn a_deletion_takes_along_what_a_file_displaces(_shared: &TestApp) {
    let stage = start().await;
    let new = fresh();
    for end in ["deleted", "moved", "renamed"] {
        let uuid = stage.app.luke().has_image(json!({})).await;
        upload(&stage, &uuid, 1).await.ok();
        stage.fault(MantaFaultRule::new(MantaFault::InternalError).method("GET").path(&uuid));
        upload(&stage, &uuid, 2).await.ok();
        stage.heal();
        assert_eq!(stage.objects(&uuid).await.len(), 2);
        match end {
            "deleted" => stage.app.luke().delete(&uuid).await.gone(),
            "moved" => drop(stage.move_to(&uuid, "local").await.ok()),
            _ => drop(rename(&stage.app, &uuid, &new).await.ok()),
        }
        assert_eq!(stage.objects(&uuid).await, Vec::<String>::new(), "{end}");
    }
    has_only(&stage, &new, &bytes(2)).await;
    stage.stop().await;
}

async fn a_change_of_the_uuid_that_has_to_wait_for_a_final_name_does_not_wait_for_itself(_shared: &TestApp) {
    let stage = start().await;
    let (old, new) = (stage.app.luke().has_image(json!({})).await, fresh());
    upload(&stage, &old, 1).await.ok();
    // The object belongs to no image, and is old enough to be removed.
    let place = Stage::directory(&new).join("file0").unwrap();
    let put = NewObject { make_directories: true, ..NewObject::default() };
    stage.manta.put_bytes(&place, "a leftover".into(), &put).await.unwrap();
    stage.app.dc.manta().unwrap().age(&format!("{new}/file0"), Duration::from_secs(7200)).await.unwrap();
    rename(&stage.app, &old, &new).await.ok();
    assert_eq!(stage.objects(&new).await, ["file0"]);
    has_only(&stage, &new, &bytes(1)).await;
    has_nothing(&stage, &old).await;
    stage.stop().await;
}

async fn a_change_of_the_uuid_keeps_nobody_waiting_while_files_are_copied(_shared: &TestApp) {
    let stage = start().await;
    let app = &stage.app;
    let (old, new, account) = (app.luke().has_image(json!({})).await, fresh(), fresh());
    app.operator().upload(&old, "compression=none&storage=manta", vec![1; LARGE]).await.ok();
    let faults = app.dc.manta().unwrap().faults();
    let met = faults.applied();
    stage.fault(
        MantaFaultRule::new(MantaFault::StallAfter { bytes: 100_000 }).method("PUT").path(&new).times(1),
    );
    let others = async {
        faults.wait_applied(met + 1).await;
        let call = app.operator().call(Method::POST, &format!("/images/{old}/acl"));
        let shared: Value = call.json(&json!([account])).send().await.ok();
        assert_eq!(shared["acl"], json!([account]));
        stage.heal();
    };
    let (renamed, ()) = tokio::join!(rename(app, &old, &new), others);
    assert_eq!(renamed.ok()["acl"], json!([account]));
    has_only(&stage, &new, &vec![1; LARGE]).await;
    has_nothing(&stage, &old).await;
    stage.stop().await;
}
