// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that are moved, replaced or deleted while they are read. Each test has its own datacenter.

use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::TryStreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::manta::Stage;
use super::support::{Actor, Answer, TestApp, VADER, fresh, tests, within};

tests! {
    whoever_reads_a_file_that_is_moved_gets_it,
    whoever_reads_what_is_replaced_gets_what_is_there,
    whoever_reads_what_is_deleted_is_told_so,
    an_object_of_the_right_length_is_not_enough,
}

const EXPORTS: &str = "/admin/stor/exports";

async fn start() -> Stage {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    stage.manta.mkdirp(&manta::Path::new(EXPORTS).unwrap()).await.unwrap();
    stage
}

/// Returns the result of `read` if its first request of this method to Manta about the image waits until `change` is done.
async fn meanwhile(
    stage: &Stage,
    (method, uuid): (&str, &str),
    read: impl Future<Output = Answer>,
    change: impl AsyncFnOnce(),
) -> Answer {
    let faults = stage.app.dc.manta().unwrap().faults();
    let before = faults.applied();
    let path = format!("{uuid}/");
    faults.set(MantaFaultRule::new(MantaFault::Stall).method(method).path(&path).times(1));
    let changing = async {
        faults.wait_applied(before + 1).await;
        change().await;
        faults.clear();
    };
    within("a read and a change", async { tokio::join!(read, changing).0 }).await
}

async fn get(actor: Actor<'_>, uuid: &str, asset: &str, range: Option<&str>) -> Answer {
    let call = actor.call(Method::GET, &format!("/images/{uuid}/{asset}"));
    match range {
        Some(range) => call.header("range", range).send().await,
        None => call.send().await,
    }
}

async fn file(actor: Actor<'_>, uuid: &str, range: Option<&str>) -> Answer {
    get(actor, uuid, "file", range).await
}

async fn icon(actor: Actor<'_>, uuid: &str, range: Option<&str>) -> Answer {
    get(actor, uuid, "icon", range).await
}

async fn add_icon(actor: Actor<'_>, uuid: &str, bytes: &'static str) {
    let call = actor.call(Method::PUT, &format!("/images/{uuid}/icon"));
    call.header("content-type", "image/png").body(bytes).send().await.ok();
}

async fn clone(stage: &Stage, uuid: &str) -> Answer {
    stage.app.vader().call(Method::POST, &format!("/images/{uuid}/clone")).send().await
}

async fn export(stage: &Stage, uuid: &str) -> Answer {
    let target = format!("/images/{uuid}?action=export&manta_path={EXPORTS}/{uuid}");
    stage.app.operator().call(Method::POST, &target).send().await
}

async fn exported(stage: &Stage) -> Vec<String> {
    let entries = stage.manta.list(&manta::Path::new(EXPORTS).unwrap()).try_collect::<Vec<_>>().await;
    entries.unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Checks that the log contains no errors, then stops.
async fn end(stage: Stage) {
    let errors: Vec<Value> =
        stage.app.log().into_iter().filter(|record| record["level"].as_u64() >= Some(50)).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    stage.stop().await;
}

async fn whoever_reads_a_file_that_is_moved_gets_it(_: &TestApp) {
    let stage = start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_active_image(json!({"acl": [VADER]})).await;
    let to_local = async || drop(stage.move_to(&uuid, "local").await.ok());
    for (range, status, bytes) in [(None, 200, "file"), (Some("bytes=1-2"), 206, "il")] {
        let read = file(luke, &uuid, range);
        let answer = meanwhile(&stage, ("GET", &uuid), read, to_local).await;
        assert_eq!((answer.status, answer.text()), (status, bytes));
        stage.move_to(&uuid, "manta").await.ok();
    }
    let cloned = meanwhile(&stage, ("GET", &uuid), clone(&stage, &uuid), to_local).await.ok();
    let clone = cloned["uuid"].as_str().unwrap();
    assert_eq!(stage.app.vader().download(clone).await.text(), "file");
    assert_eq!(stage.stor(clone).await, "local");
    stage.move_to(&uuid, "manta").await.ok();
    // Only files in Manta can be exported.
    let answer = meanwhile(&stage, ("GET", &uuid), export(&stage, &uuid), to_local).await;
    answer.refused(503, "StorageUnsupported");
    assert!(exported(&stage).await.is_empty());
    end(stage).await;
}

async fn whoever_reads_what_is_replaced_gets_what_is_there(_: &TestApp) {
    let stage = start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"file").await;
    let replace = async || drop(luke.upload(&uuid, "compression=none", "another").await.ok());
    let answer = meanwhile(&stage, ("GET", &uuid), file(luke, &uuid, None), replace).await;
    assert_eq!(answer.text(), "another");
    for (method, range, status, part) in [
        ("GET", None, 200, "icon two"),
        ("HEAD", Some("bytes=5-7"), 206, "two"),
        ("GET", Some("bytes=5-7"), 206, "two"),
    ] {
        add_icon(luke, &uuid, "icon one").await;
        let replace = async || add_icon(luke, &uuid, "icon two").await;
        let answer = meanwhile(&stage, (method, &uuid), icon(luke, &uuid, range), replace).await;
        assert_eq!((answer.status, answer.text()), (status, part));
    }
    let rename = async || {
        let update = stage.app.operator().call(Method::POST, &format!("/images/{uuid}?action=update"));
        update.json(&json!({"uuid": fresh()})).send().await.ok();
    };
    meanwhile(&stage, ("GET", &uuid), file(luke, &uuid, None), rename).await.not_found();
    end(stage).await;
}

async fn whoever_reads_what_is_deleted_is_told_so(_: &TestApp) {
    let stage = start().await;
    let luke = stage.app.luke();
    let image = async || luke.has_active_image(json!({"acl": [VADER]})).await;
    let delete = async |uuid: &str| luke.delete(uuid).await.gone();

    for range in [None, Some("bytes=1-2")] {
        let uuid = image().await;
        let read = file(luke, &uuid, range);
        meanwhile(&stage, ("GET", &uuid), read, async || delete(&uuid).await).await.not_found();
    }
    let uuid = image().await;
    meanwhile(&stage, ("GET", &uuid), clone(&stage, &uuid), async || delete(&uuid).await).await.not_found();
    assert!(stage.app.vader().list_uuids(&format!("owner={VADER}&state=all")).await.is_empty());
    let uuid = image().await;
    meanwhile(&stage, ("GET", &uuid), export(&stage, &uuid), async || delete(&uuid).await).await.not_found();
    assert!(exported(&stage).await.is_empty());
    let range = Some("bytes=1-2");
    let requests = [("GET", None), ("HEAD", range), ("GET", range)];
    for ((method, range), is_whole_image) in requests.into_iter().flat_map(|it| [(it, true), (it, false)]) {
        let uuid = image().await;
        add_icon(luke, &uuid, "icon").await;
        let delete = async || match is_whole_image {
            true => delete(&uuid).await,
            false => drop(luke.call(Method::DELETE, &format!("/images/{uuid}/icon")).send().await.ok()),
        };
        meanwhile(&stage, (method, &uuid), icon(luke, &uuid, range), delete).await.not_found();
    }
    end(stage).await;
}

async fn an_object_of_the_right_length_is_not_enough(_: &TestApp) {
    let stage = start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({"acl": [VADER]}), b"file").await;
    add_icon(luke, &uuid, "icon").await;
    luke.activate(&uuid).await.ok();
    stage.fault(MantaFault::NoContentMd5);
    assert_eq!(luke.download(&uuid).await.text(), "file");
    assert_eq!(icon(luke, &uuid, None).await.text(), "icon");
    assert_eq!(file(luke, &uuid, Some("bytes=1-2")).await.text(), "il");
    for (name, bytes) in [("file0", "FILE"), ("icon", "ICON")] {
        let path = Stage::directory(&uuid).join(name).unwrap();
        stage.manta.put_bytes(&path, bytes.into(), &manta::NewObject::default()).await.unwrap();
    }
    for name in ["file", "icon"] {
        let answer = luke.call(Method::GET, &format!("/images/{uuid}/{name}")).try_send().await;
        assert!(answer.is_err(), "all of something else was sent: {answer:?}");
    }
    clone(&stage, &uuid).await.refused(500, "InternalError");
    export(&stage, &uuid).await.refused(500, "InternalError");
    assert!(exported(&stage).await.is_empty());
    // Manta never sends an MD5 with a part, so the part must be recognized as wrong in another way.
    stage.app.dc.manta().unwrap().faults().clear();
    file(luke, &uuid, Some("bytes=1-2")).await.refused(500, "InternalError");
    stage.stop().await;
}
