// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The scrubber. These tests start their own datacenters, in which it runs without pauses.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::manta::{MantaFault, MantaFaultRule};
use http_signature::PrivateKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{TestApp, fresh, merged, small_record, tests, wait_until};

tests! {
    intact_files_are_no_finding_and_get_their_sha256,
    records_stay_as_they_are_where_no_digests_are_wanted,
    damaged_local_files_are_found_until_they_are_repaired,
    damaged_objects_are_found_when_manta_answers,
    what_is_replaced_or_deleted_while_it_is_read_is_no_finding,
    files_that_no_image_has_are_reported_and_stay,
    objects_that_no_image_has_are_reported_and_stay,
    empty_directories_of_images_that_are_gone_are_removed,
    a_round_goes_on_where_it_was_interrupted,
    what_was_kept_may_be_anything,
}

fn restless(dc: DatacenterBuilder) -> DatacenterBuilder {
    dc.imgapi_config("scrubRate", 1 << 30)
        .imgapi_config("scrubIntervalDays", 0)
        .imgapi_config("scrubDigestsPerMinute", 1_000_000)
}

async fn state(app: &TestApp) -> Value {
    app.operator().get("/state").await.ok()
}

fn scrub(state: &Value) -> &Value {
    state["workers"].as_array().unwrap().iter().find(|worker| worker["name"] == "scrub").unwrap()
}

/// Waits until a round that begins after now is complete, and returns the result.
async fn next_round(app: &TestApp) -> Value {
    let complete = async || {
        let text = fs::read_to_string(app.dc.local_dir().join("scrub.json")).ok()?;
        let kept: Value = serde_json::from_str(&text).ok()?;
        let number = kept["round"]["number"].as_u64()?;
        (kept["round"]["phase"] == "over").then_some(number)
    };
    let before = wait_until("a round is complete", complete).await;
    let later = async || complete().await.filter(|number| *number >= before + 2);
    wait_until("a later round is complete", later).await;
    state(app).await
}

fn problems(state: &Value) -> Vec<(String, String, String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or("-").to_owned();
    let findings = state["findings"].as_array().unwrap();
    let mut problems: Vec<_> = findings
        .iter()
        .map(|f| (text(f, "uuid"), text(f, "file"), text(f, "storage"), text(f, "problem")))
        .collect();
    problems.sort();
    problems
}

fn problem(uuid: &str, file: &str, storage: &str, problem: &str) -> (String, String, String, String) {
    (uuid.to_owned(), file.to_owned(), storage.to_owned(), problem.to_owned())
}

fn write_old(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let old = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

async fn gauge(app: &TestApp, name: &str) -> f64 {
    let text = app.metrics().await;
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn intact_files_are_no_finding_and_get_their_sha256(_shared: &TestApp) {
    let app = TestApp::start_with(restless).await;
    let uuid = app.luke().has_active_image(json!({})).await;
    // The record as 4.13.1 stored it.
    let (mut record, _) = app.stored(&uuid).await.unwrap();
    let sha256 = record["files"][0].as_object_mut().unwrap().shift_remove("sha256").unwrap();
    assert_eq!(sha256, hex::encode(Sha256::digest(b"file")));
    let archived = fs::read(app.archived(&uuid)).unwrap();
    let before = app.operator().get_image(&uuid).await;
    app.store(&record).await;
    wait_until("the digest is there", async || {
        let (record, _) = app.stored(&uuid).await.unwrap();
        (record["files"][0]["sha256"] == sha256).then_some(())
    })
    .await;
    let state = next_round(&app).await;
    assert_eq!((&state["findings"], &state["findingCounts"]["damaged"]), (&json!([]), &json!(0)));
    let after = app.operator().get_image(&uuid).await;
    assert_eq!((after.text(), after.header("etag")), (before.text(), before.header("etag")));
    assert_eq!(fs::read(app.archived(&uuid)).unwrap(), archived);
    assert!(gauge(&app, "imgapi_scrub_read_bytes_total").await >= 8.0);
    app.stop().await;
}

async fn records_stay_as_they_are_where_no_digests_are_wanted(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| restless(dc).imgapi_config("scrubDigestsPerMinute", 0)).await;
    let uuid = app.luke().has_active_image(json!({})).await;
    let (mut record, _) = app.stored(&uuid).await.unwrap();
    record["files"][0].as_object_mut().unwrap().shift_remove("sha256").unwrap();
    app.store(&record).await;
    let written = app.stored(&uuid).await.unwrap();
    let state = next_round(&app).await;
    assert_eq!(app.stored(&uuid).await.unwrap(), written);
    assert_eq!((&state["findings"], &state["findingCounts"]["damaged"]), (&json!([]), &json!(0)));
    app.stop().await;
}

async fn damaged_local_files_are_found_until_they_are_repaired(_shared: &TestApp) {
    let app = TestApp::start_with(restless).await;
    let luke = app.luke();
    let mut uuids = Vec::new();
    for _ in 0..4 {
        uuids.push(luke.has_active_image(json!({})).await);
    }
    let [changed, short, missing, _intact] = &uuids[..] else { panic!() };
    fs::write(app.file(changed), "life").unwrap();
    fs::write(app.file(short), "fi").unwrap();
    fs::remove_file(app.file(missing)).unwrap();
    let state = next_round(&app).await;
    let mut expected = vec![
        problem(changed, "file0", "local", "other-content"),
        problem(short, "file0", "local", "other-size"),
        problem(missing, "file0", "local", "missing"),
    ];
    expected.sort();
    assert_eq!(problems(&state), expected);
    assert_eq!(gauge(&app, "imgapi_scrub_damaged_files").await, 3.0);
    let is_report = |record: &Value| {
        record["msg"] == "a stored file is damaged" && record["uuid"] == **missing && record["level"] == 50
    };
    wait_until("it is logged", async || app.log().iter().any(is_report).then_some(())).await;
    for uuid in [changed, short, missing] {
        fs::write(app.file(uuid), "file").unwrap();
    }
    assert_eq!(problems(&next_round(&app).await), []);
    assert_eq!(gauge(&app, "imgapi_scrub_damaged_files").await, 0.0);
    app.stop().await;
}

fn manta_client(app: &TestApp) -> manta::Client {
    let pem = fs::read_to_string(app.dc.key_file("admin")).unwrap();
    let key = PrivateKey::from_pem(&pem).unwrap();
    manta::Client::new(manta::Config::new(app.dc.manta().unwrap().url(), "admin", key)).unwrap()
}

fn group(uuid: &str) -> String {
    format!("/admin/stor/imgapi/coal/images/{}", &uuid[..3])
}

fn object(uuid: &str, name: &str) -> manta::Path {
    manta::Path::new(format!("{}/{uuid}/{name}", group(uuid))).unwrap()
}

async fn damaged_objects_are_found_when_manta_answers(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| restless(dc.manta(MantaMode::Local))).await;
    let (server, client) = (app.dc.manta().unwrap(), manta_client(&app));
    let luke = app.luke();
    let (changed, missing) = (luke.has_active_image(json!({})).await, luke.has_active_image(json!({})).await);
    luke.has_active_image(json!({})).await;
    assert_eq!(problems(&next_round(&app).await), []);
    server.faults().set(MantaFaultRule::new(MantaFault::InternalError).method("GET"));
    client.put_bytes(&object(&changed, "file0"), "life".into(), &Default::default()).await.unwrap();
    client.delete(&object(&missing, "file0"), None).await.unwrap();
    let failed = async || (scrub(&state(&app).await)["state"] == "retrying").then_some(());
    wait_until("the scrubber waits for Manta", failed).await;
    assert_eq!(problems(&state(&app).await), []);
    server.faults().clear();
    let mut expected =
        vec![problem(&changed, "file0", "manta", "mismatch"), problem(&missing, "file0", "manta", "missing")];
    expected.sort();
    wait_until("both are found", async || (problems(&state(&app).await) == expected).then_some(())).await;
    for uuid in [&changed, &missing] {
        let new = manta::NewObject { make_directories: true, ..Default::default() };
        client.put_bytes(&object(uuid, "file0"), "file".into(), &new).await.unwrap();
    }
    assert_eq!(problems(&next_round(&app).await), []);
    app.stop().await;
}

async fn what_is_replaced_or_deleted_while_it_is_read_is_no_finding(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| restless(dc.manta(MantaMode::Local))).await;
    let (luke, faults) = (app.luke(), app.dc.manta().unwrap().faults());
    for is_deleted in [true, false] {
        let uuid = luke.has_image_with_file(json!({}), b"first").await;
        next_round(&app).await;
        let before = faults.applied();
        // The scrubber has chosen the file to read, but has not received it yet.
        faults.set(MantaFaultRule::new(MantaFault::Stall).method("GET").path("file0").times(1));
        faults.wait_applied(before + 1).await;
        if is_deleted {
            luke.delete(&uuid).await.gone();
        } else {
            luke.upload(&uuid, "compression=none", "second").await.ok();
        }
        faults.clear();
        assert_eq!(problems(&next_round(&app).await), []);
    }
    assert!(!app.log().iter().any(|record| record["msg"] == "a stored file is damaged"));
    app.stop().await;
}

async fn files_that_no_image_has_are_reported_and_stay(_shared: &TestApp) {
    let app = TestApp::start_with(restless).await;
    let uuid = app.luke().has_active_image(json!({})).await;
    let nobodys = fresh();
    let beside = app.file(&uuid).with_file_name("file1");
    let foreign = app.dc.local_dir().join("images/notes.txt");
    let young = app.file(&fresh());
    for path in [&app.file(&nobodys), &beside, &foreign] {
        write_old(path, "x");
    }
    write_old(&app.file(&uuid), "file");
    fs::create_dir_all(young.parent().unwrap()).unwrap();
    fs::write(&young, "x").unwrap();
    // A file that only an invalid record names is not an orphan.
    let damaged = small_record(json!({"name": null}));
    let of_damaged = app.file(damaged["uuid"].as_str().unwrap());
    write_old(&of_damaged, "file");
    app.store(&damaged).await;
    let mut expected = vec![
        problem(&nobodys, "file0", "local", "orphan"),
        problem(&uuid, "file1", "local", "orphan"),
        problem("-", "notes.txt", "local", "foreign"),
    ];
    expected.sort();
    let found = next_round(&app).await;
    assert_eq!((problems(&found), &found["findingCounts"]), (expected, &json!({"damaged": 0, "orphans": 3})));
    assert_eq!(gauge(&app, "imgapi_scrub_orphans").await, 3.0);
    assert!(beside.exists() && foreign.exists() && young.exists() && of_damaged.exists());
    let file = app.dc.config_file();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_imgapi"));
    let output = command.args(["adm", "-f", file.to_str().unwrap(), "findings"]).output().await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("IMAGE  ") && table.lines().count() == 4, "{table}");
    fs::remove_file(&beside).unwrap();
    fs::remove_file(&foreign).unwrap();
    fs::remove_dir_all(app.file(&nobodys).parent().unwrap()).unwrap();
    assert_eq!(problems(&next_round(&app).await), []);
    app.stop().await;
}

async fn objects_that_no_image_has_are_reported_and_stay(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| restless(dc.manta(MantaMode::Local))).await;
    let (server, client) = (app.dc.manta().unwrap(), manta_client(&app));
    let (uuid, nobodys, young) = (app.luke().has_active_image(json!({})).await, fresh(), fresh());
    let foreign = manta::Path::new("/admin/stor/imgapi/coal/images/notes.txt").unwrap();
    let orphans = [object(&nobodys, "file0"), object(&uuid, "file0.left-behind"), foreign.clone()];
    let new = manta::NewObject { make_directories: true, ..Default::default() };
    for path in orphans.iter().chain([&object(&young, "file0")]) {
        client.put_bytes(path, "x".into(), &new).await.unwrap();
    }
    // The files may belong to an upload whose record is about to be written.
    assert_eq!(problems(&next_round(&app).await), []);
    let more_than_a_day = Duration::from_secs(25 * 3600);
    for path in orphans.iter().chain([&object(&uuid, "file0")]) {
        let end = path.as_str().trim_start_matches("/admin");
        server.age(end, more_than_a_day).await.unwrap();
    }
    let mut expected = vec![
        problem(&nobodys, "file0", "manta", "orphan"),
        problem(&uuid, "file0.left-behind", "manta", "orphan"),
        problem("-", "notes.txt", "manta", "foreign"),
    ];
    expected.sort();
    assert_eq!(problems(&next_round(&app).await), expected);
    for path in &orphans {
        client.delete(path, None).await.unwrap();
    }
    assert_eq!(problems(&next_round(&app).await), []);
    app.stop().await;
}

/// An image that was moved out of Manta and then deleted leaves such a directory.
async fn empty_directories_of_images_that_are_gone_are_removed(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| restless(dc.manta(MantaMode::Local))).await;
    let (server, client) = (app.dc.manta().unwrap(), manta_client(&app));
    let (kept, gone) =
        (app.luke().has_active_image(json!({})).await, app.luke().has_active_image(json!({})).await);
    for uuid in [&kept, &gone] {
        app.operator().act(uuid, "change-stor&stor=local").await.ok();
    }
    app.luke().delete(&gone).await.gone();
    let directory = |uuid: &str| manta::Path::new(format!("{}/{uuid}", group(uuid))).unwrap();
    next_round(&app).await;
    for uuid in [&kept, &gone] {
        assert!(client.head(&directory(uuid)).await.is_ok(), "an upload may be on its way there");
        let end = directory(uuid).as_str().trim_start_matches("/admin").to_owned();
        server.age(&end, Duration::from_secs(25 * 3600)).await.unwrap();
    }
    assert_eq!(problems(&next_round(&app).await), []);
    assert!(client.head(&directory(&gone)).await.unwrap_err().is_not_found());
    assert!(client.head(&directory(&kept)).await.is_ok());
    app.stop().await;
}

async fn a_round_goes_on_where_it_was_interrupted(_shared: &TestApp) {
    let mut app = TestApp::start_with(|dc| restless(dc).imgapi_config("scrubRate", 0)).await;
    let image = |first: &str, size: usize| {
        let uuid = format!("{first}{}", &fresh()[1..]);
        let content = "x".repeat(size);
        let sha1 = super::support::sha1_of(content.as_bytes());
        let file = json!({"sha1": sha1, "size": size, "compression": "none", "stor": "local"});
        write_old(&app.file(&uuid), &content);
        small_record(json!({"uuid": uuid, "files": [file]}))
    };
    let records = [image("0", 10), image("1", 20), image("f", 4 << 20)];
    app.store_all(&records).await;
    configure(&app, json!({"scrubRate": 200_000}));
    app.dc.restart_imgapi().await.unwrap();
    let at_the_big_one = async || {
        let text = fs::read_to_string(app.dc.local_dir().join("scrub.json")).ok()?;
        let kept: Value = serde_json::from_str(&text).ok()?;
        (kept["round"]["done"] == 2).then_some(kept["round"]["number"].clone())
    };
    let number = wait_until("what is done is kept", at_the_big_one).await;
    app.dc.kill_imgapi().await;
    configure(&app, json!({"scrubRate": 1 << 30, "scrubIntervalDays": 7}));
    app.dc.restart_imgapi().await.unwrap();
    let complete = async || {
        let state = state(&app).await;
        let detail = scrub(&state)["detail"].as_str()?.to_owned();
        detail.starts_with("complete round").then_some(detail)
    };
    let detail = wait_until("the round is complete", complete).await;
    assert!(detail.contains(": 3 of 3 images, 4.0 MiB read, 0 damaged"), "{detail}");
    assert_eq!(gauge(&app, "imgapi_scrub_read_bytes_total").await, f64::from(4 << 20));
    let kept: Value =
        serde_json::from_slice(&fs::read(app.dc.local_dir().join("scrub.json")).unwrap()).unwrap();
    assert_eq!(kept["round"]["number"], number);
    app.stop().await;
}

fn configure(app: &TestApp, changes: Value) {
    let file = app.dc.config_file();
    let config: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    fs::write(file, merged(config, changes).to_string()).unwrap();
}

async fn what_was_kept_may_be_anything(_shared: &TestApp) {
    let mut app = TestApp::start_with(restless).await;
    app.luke().has_active_image(json!({})).await;
    next_round(&app).await;
    app.dc.stop_imgapi().await;
    fs::write(app.dc.local_dir().join("scrub.json"), "{\"round\": 7").unwrap();
    app.dc.restart_imgapi().await.unwrap();
    assert_eq!(problems(&next_round(&app).await), []);
    let is_told = |record: &Value| record["file"] == "scrub.json" && record["level"] == 40;
    wait_until("it is told", async || app.log().iter().any(is_told).then_some(())).await;
    configure(&app, json!({"scrubRate": 0}));
    app.dc.restart_imgapi().await.unwrap();
    let state = state(&app).await;
    assert!(state.get("findings").is_none());
    assert!(!state["workers"].as_array().unwrap().iter().any(|worker| worker["name"] == "scrub"));
    app.stop().await;
}
