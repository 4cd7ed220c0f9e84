// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The archive of manifests in Manta. These tests start their own datacenters.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::TryStreamExt;
use http_signature::PrivateKey;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{TestApp, VADER, tests, wait_until};

tests! {
    every_change_arrives_as_clients_see_it,
    what_fails_arrives_later,
    one_that_fails_is_not_in_the_way_of_others,
    those_that_are_slow_are_not_in_the_way_of_others,
    what_is_there_already_is_taken_over,
    the_last_version_of_a_deleted_image_stays,
    a_deletion_without_a_copy_loses_no_change,
    a_leftover_of_an_earlier_deletion_replaces_nothing,
    a_later_version_is_never_replaced_by_an_earlier_one,
    what_somebody_else_brings_meanwhile_is_not_replaced_unseen,
    a_write_whose_answer_is_lost_is_archived,
    a_delete_whose_answer_is_lost_is_archived,
    operators_see_what_is_left,
    with_a_local_database_the_local_archive_stays,
}

/// A datacenter with Manta, and a client of it.
struct Stage {
    app: TestApp,
    manta: manta::Client,
}

impl Stage {
    async fn start() -> Stage {
        Stage::start_with(|dc| dc).await
    }

    async fn start_with(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> Stage {
        let app = TestApp::start_with(|dc| build(dc.manta(MantaMode::Local))).await;
        let pem = fs::read_to_string(app.dc.key_file("admin")).unwrap();
        let url = app.dc.manta().unwrap().url();
        let config = manta::Config::new(url, "admin", PrivateKey::from_pem(&pem).unwrap());
        Stage { manta: manta::Client::new(config).unwrap(), app }
    }

    async fn stop(self) {
        self.app.stop().await;
    }

    fn place(uuid: &str) -> manta::Path {
        let path = format!("/admin/stor/imgapi/coal/archive/{}/{uuid}.json", &uuid[..3]);
        manta::Path::new(path).unwrap()
    }

    /// Returns the manifest in Manta's archive.
    async fn archived(&self, uuid: &str) -> Option<String> {
        let object = match self.manta.get(&Stage::place(uuid), &Default::default()).await {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(object.metadata.content_type.as_deref(), Some("application/json"));
        Some(String::from_utf8(object.body.try_collect::<Vec<_>>().await.unwrap().concat()).unwrap())
    }

    async fn store(&self, uuid: &str, text: String) {
        let new = manta::NewObject {
            content_type: Some("application/json".into()),
            make_directories: true,
            ..Default::default()
        };
        self.manta.put_bytes(&Stage::place(uuid), text.into(), &new).await.unwrap();
    }

    /// Waits until the archive in Manta contains this version.
    async fn arrives(&self, uuid: &str, version: &str) {
        let arrived = async || (self.archived(uuid).await.as_deref() == Some(version)).then_some(());
        wait_until("the version in Manta", arrived).await;
    }

    /// Waits until the local archive is empty.
    async fn nothing_is_left(&self) {
        let directory = self.app.dc.local_dir().join("archive");
        let is_empty = async || fs::read_dir(&directory).unwrap().next().is_none().then_some(());
        wait_until("an empty local archive", is_empty).await;
    }

    /// Waits until the local archive is empty and the archive in Manta contains the answer of GetImage.
    async fn is_current(&self, uuid: &str) {
        self.nothing_is_left().await;
        let image = self.app.operator().get_image(uuid).await;
        assert_eq!(self.archived(uuid).await.as_deref(), Some(image.text()));
    }

    /// Puts a file into the local archive, as 4.13.1 does.
    fn spool(&self, uuid: &str, text: &str) {
        let place = self.app.archived(uuid);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn fault(&self, rule: impl Into<MantaFaultRule>) {
        self.app.dc.manta().unwrap().faults().set(rule);
    }

    fn heal(&self) {
        self.app.dc.manta().unwrap().faults().clear();
    }

    /// Returns the state of the worker.
    async fn worker(&self) -> Value {
        let state = self.app.operator().get("/state").await.ok();
        let workers = state["workers"].as_array().unwrap().clone();
        workers.into_iter().find(|worker| worker["name"] == "archive").unwrap()
    }

    async fn change(&self, uuid: &str, change: &Value) {
        let update = self.app.operator().call(Method::POST, &format!("/images/{uuid}?action=update"));
        update.json(change).send().await.ok();
    }
}

async fn every_change_arrives_as_clients_see_it(_shared: &TestApp) {
    let stage = Stage::start().await;
    let (luke, operator) = (stage.app.luke(), stage.app.operator());
    let uuid = luke.has_image(json!({})).await;
    stage.is_current(&uuid).await;
    luke.upload(&uuid, "compression=none", "bytes").await.ok();
    stage.is_current(&uuid).await;
    stage.change(&uuid, &json!({"description": "changed", "tags": {"a": 1.5, "7": true}})).await;
    stage.is_current(&uuid).await;
    let icon = luke.call(Method::PUT, &format!("/images/{uuid}/icon"));
    icon.header("content-type", "image/png").body("icon").send().await.ok();
    stage.is_current(&uuid).await;
    luke.call(Method::DELETE, &format!("/images/{uuid}/icon")).send().await.ok();
    stage.is_current(&uuid).await;

    let new = uuid::Uuid::new_v4().to_string();
    let last = luke.get_image(&uuid).await.text().to_owned();
    stage.change(&uuid, &json!({"uuid": new})).await;
    stage.is_current(&new).await;
    assert_eq!(stage.archived(&uuid).await, Some(last));

    for change in ["activate", "disable", "enable"] {
        luke.call(Method::POST, &format!("/images/{new}?action={change}")).send().await.ok();
        stage.is_current(&new).await;
    }
    luke.call(Method::POST, &format!("/images/{new}/acl")).json(&json!([VADER])).send().await.ok();
    stage.is_current(&new).await;
    operator.call(Method::POST, &format!("/images/{new}?action=change-stor&stor=local")).send().await.ok();
    stage.is_current(&new).await;
    let clone = stage.app.vader().call(Method::POST, &format!("/images/{new}/clone")).send().await.ok();
    stage.is_current(clone["uuid"].as_str().unwrap()).await;

    let imported = uuid::Uuid::new_v4().to_string();
    let mut manifest = operator.get_image(&new).await.ok();
    manifest["uuid"] = json!(imported);
    let import = operator.call(Method::POST, &format!("/images/{imported}?action=import"));
    import.json(&manifest).send().await.ok();
    stage.is_current(&imported).await;

    // A change that clients cannot see is not a new version.
    let before = stage.manta.head(&Stage::place(&new)).await.unwrap().etag;
    luke.call(Method::POST, &format!("/images/{new}/acl")).json(&json!([VADER])).send().await.ok();
    stage.is_current(&new).await;
    assert_eq!(stage.manta.head(&Stage::place(&new)).await.unwrap().etag, before);
    stage.stop().await;
}

async fn what_fails_arrives_later(_shared: &TestApp) {
    let stage = Stage::start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_image(json!({})).await;
    stage.is_current(&uuid).await;
    let in_the_archive = |fault: MantaFault| MantaFaultRule::new(fault).path("/archive/");
    for (number, fault) in [
        in_the_archive(MantaFault::HangUp),
        in_the_archive(MantaFault::Unavailable { retry_after: 0 }),
        in_the_archive(MantaFault::InternalError),
        in_the_archive(MantaFault::InternalError).method("PUT"),
        in_the_archive(MantaFault::ConcurrentRequest),
        in_the_archive(MantaFault::CutAfter { bytes: 10 }).method("PUT"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = stage.archived(&uuid).await;
        let idle = async || Some(stage.worker().await).filter(|worker| worker["state"] == "waiting");
        let idle = wait_until("nothing to do", idle).await;
        let (done, failures) = (&idle["done"], idle["failures"].as_u64().unwrap());
        stage.fault(fault);
        stage.change(&uuid, &json!({"description": format!("change {number}")})).await;
        wait_until("a failure", async || {
            (stage.worker().await["failures"].as_u64().unwrap() > failures).then_some(())
        })
        .await;
        let worker = stage.worker().await;
        assert_eq!((&worker["done"], &worker["pending"]), (done, &json!(1)), "{worker}");
        assert!(stage.app.archived(&uuid).exists());
        stage.heal();
        stage.is_current(&uuid).await;
        assert_ne!(stage.archived(&uuid).await, before);
    }
    // Manta stores the object, whatever it answers.
    for fault in [MantaFault::LostAnswer, MantaFault::WrongComputedMd5] {
        stage.fault(in_the_archive(fault.clone()).method("PUT").times(1));
        stage.change(&uuid, &json!({"description": format!("{fault:?}")})).await;
        stage.is_current(&uuid).await;
    }
    stage.stop().await;
}

async fn one_that_fails_is_not_in_the_way_of_others(_shared: &TestApp) {
    let stage = Stage::start().await;
    let luke = stage.app.luke();
    let stuck = luke.has_image(json!({})).await;
    stage.is_current(&stuck).await;
    stage.fault(MantaFaultRule::new(MantaFault::InternalError).path(&format!("{stuck}.json")));
    stage.change(&stuck, &json!({"description": "stuck"})).await;
    for _ in 0..5 {
        let uuid = luke.has_image(json!({})).await;
        let image = luke.get_image(&uuid).await.text().to_owned();
        stage.arrives(&uuid, &image).await;
    }
    wait_until("the others are gone", async || {
        let worker = stage.worker().await;
        (worker["pending"] == 1 && worker["lastError"].is_object()).then_some(())
    })
    .await;
    stage.heal();
    stage.is_current(&stuck).await;
    stage.stop().await;
}

async fn those_that_are_slow_are_not_in_the_way_of_others(_shared: &TestApp) {
    let stage = Stage::start().await;
    let luke = stage.app.luke();
    let mut slow = Vec::new();
    for _ in 0..6 {
        let uuid = luke.has_image(json!({})).await;
        let image = luke.get_image(&uuid).await.text().to_owned();
        slow.push((uuid, Some(image)));
    }
    stage.nothing_is_left().await;
    let faults = stage.app.dc.manta().unwrap().faults();
    let met = faults.applied();
    for (uuid, _) in &slow {
        faults
            .set(MantaFaultRule::new(MantaFault::Stall).method("PUT").path(&format!("{uuid}.json")).times(1));
        stage.change(uuid, &json!({"description": "slow"})).await;
    }
    faults.wait_applied(met + slow.len() as u64).await;
    for _ in 0..2 {
        let uuid = luke.has_image(json!({})).await;
        let image = luke.get_image(&uuid).await.text().to_owned();
        stage.arrives(&uuid, &image).await;
    }
    // Nobody has waited for them. A later change of one of them is not forgotten.
    for (uuid, before) in &slow {
        assert_eq!(stage.archived(uuid).await, *before);
    }
    stage.change(&slow[0].0, &json!({"description": "slow, and changed again"})).await;
    wait_until("only they are left", async || (stage.worker().await["pending"] == slow.len()).then_some(()))
        .await;
    stage.heal();
    for (uuid, _) in &slow {
        stage.is_current(uuid).await;
    }
    stage.stop().await;
}

async fn what_is_there_already_is_taken_over(_shared: &TestApp) {
    let mut stage = Stage::start().await;
    let known = stage.app.luke().has_image(json!({})).await;
    stage.is_current(&known).await;
    stage.app.dc.stop_imgapi().await;
    let gone = uuid::Uuid::new_v4().to_string();
    let text = format!("{{\n  \"v\": 2,\n  \"uuid\": \"{gone}\"\n}}");
    stage.spool(&known, "{\"an earlier\": \"version\"}");
    stage.spool(&gone, &text);
    let odd = uuid::Uuid::new_v4().to_string();
    stage.spool(&odd, "{\"uu");
    let archive = stage.app.dc.local_dir().join("archive");
    fs::create_dir(archive.join("e0e")).unwrap();
    fs::create_dir(archive.join("zzz")).unwrap();
    fs::write(archive.join("zzz/notes.txt"), "an operator's").unwrap();
    stage.app.dc.restart_imgapi().await.unwrap();
    stage.arrives(&gone, &text).await;
    wait_until("only what is no manifest", async || {
        let is_left = !stage.app.archived(&known).exists() && !stage.app.archived(&gone).exists();
        (is_left && stage.worker().await["pending"] == 0).then_some(())
    })
    .await;
    let image = stage.app.luke().get_image(&known).await;
    assert_eq!(stage.archived(&known).await.as_deref(), Some(image.text()));
    assert!(stage.app.archived(&odd).exists() && archive.join("zzz/notes.txt").exists());
    assert_eq!(stage.archived(&odd).await, None);
    assert!(!archive.join("e0e").exists());
    // Each stray file is logged once, however often the worker finds it.
    for _ in 0..3 {
        let uuid = stage.app.luke().has_image(json!({})).await;
        let image = stage.app.luke().get_image(&uuid).await.text().to_owned();
        stage.arrives(&uuid, &image).await;
    }
    let told = stage.app.log().into_iter();
    let told = told.filter(|line| line["msg"] == "a file in the archive of manifests is none").count();
    assert_eq!(told, 2);
    stage.stop().await;
}

async fn the_last_version_of_a_deleted_image_stays(_shared: &TestApp) {
    let stage = Stage::start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_image(json!({})).await;
    stage.is_current(&uuid).await;
    // While Manta is unavailable, only the local file exists.
    stage.fault(MantaFaultRule::new(MantaFault::HangUp).path("/archive/"));
    stage.change(&uuid, &json!({"description": "the last one"})).await;
    let last = luke.get_image(&uuid).await.text().to_owned();
    luke.delete(&uuid).await.gone();
    stage.heal();
    stage.nothing_is_left().await;
    assert_eq!(stage.archived(&uuid).await, Some(last));
    stage.stop().await;
}

/// As on a full disk, where the deletion cannot write the last version again.
async fn a_deletion_without_a_copy_loses_no_change(_shared: &TestApp) {
    for database in ["moray", "local"] {
        let stage = Stage::start_with(|dc| dc.imgapi_config("databaseType", database)).await;
        let luke = stage.app.luke();
        let uuid = luke.has_image(json!({})).await;
        let first = luke.get_image(&uuid).await.text().to_owned();
        stage.arrives(&uuid, &first).await;
        stage.fault(MantaFaultRule::new(MantaFault::HangUp).path("/archive/"));
        stage.change(&uuid, &json!({"description": "the last one", "tags": {"a": 1.5, "7": true}})).await;
        let last = luke.get_image(&uuid).await.text().to_owned();
        let (incoming, away) = (stage.app.incoming(), stage.app.dc.local_dir().join("away"));
        fs::rename(&incoming, &away).unwrap();
        fs::write(&incoming, "nothing can be written below a file").unwrap();
        luke.delete(&uuid).await.gone();
        fs::remove_file(&incoming).unwrap();
        fs::rename(&away, &incoming).unwrap();
        stage.heal();
        stage.arrives(&uuid, &last).await;
        stage.stop().await;
    }
}

async fn a_leftover_of_an_earlier_deletion_replaces_nothing(_shared: &TestApp) {
    for database in ["moray", "local"] {
        let mut app = TestApp::start_with(|dc| dc.imgapi_config("databaseType", database)).await;
        let uuid = uuid::Uuid::new_v4().to_string();
        let place = app.archived(&uuid);
        for name in ["first", "second"] {
            let manifest = json!({
                "v": 2, "uuid": uuid, "name": name, "version": "1", "type": "zone-dataset", "os": "smartos", "owner": VADER,
            });
            let import = app.operator().call(Method::POST, &format!("/images/{uuid}?action=import"));
            import.json(&manifest).send().await.ok();
            app.operator().delete(&uuid).await.gone();
            if name == "first" {
                // The process has ended before it has put its copy into the archive.
                let written = fs::metadata(&place).unwrap().modified().unwrap();
                let leftover = app.incoming().join(format!("{uuid}.last.{}", uuid::Uuid::new_v4()));
                fs::rename(&place, &leftover).unwrap();
                fs::File::open(&leftover).unwrap().set_modified(written).unwrap();
            }
        }
        let second = fs::read_to_string(&place).unwrap();
        app.dc.restart_imgapi().await.unwrap();
        app.nothing_unfinished().await;
        assert_eq!(fs::read_to_string(&place).unwrap(), second, "{database}");
        assert!(second.contains("second"));
        app.stop().await;
    }
}

async fn a_later_version_is_never_replaced_by_an_earlier_one(_shared: &TestApp) {
    let mut stage = Stage::start().await;
    let luke = stage.app.luke();
    let (deleted, earlier) = (luke.has_image(json!({})).await, luke.has_image(json!({})).await);
    for uuid in [&deleted, &earlier] {
        luke.delete(uuid).await.gone();
    }
    stage.nothing_is_left().await;
    stage.app.dc.stop_imgapi().await;
    // Another process changed the image after this one, and deleted it.
    let version = |uuid: &str, number: u8| json!({"uuid": uuid, "description": number}).to_string();
    stage.spool(&deleted, &version(&deleted, 1));
    stage.store(&deleted, version(&deleted, 2)).await;
    // A file of 4.13.1 that is newer than the version that it stored in Manta before.
    stage.store(&earlier, version(&earlier, 1)).await;
    stage.spool(&earlier, &version(&earlier, 2));
    let minute = std::time::Duration::from_secs(60);
    let later = std::time::SystemTime::now() + minute;
    fs::File::open(stage.app.archived(&earlier)).unwrap().set_modified(later).unwrap();
    // Deletions of long ago, of which nobody knows any more: one before and one after the version in Manta.
    let [before, after] = [(); 2].map(|()| uuid::Uuid::new_v4().to_string());
    for (uuid, spooled, stored, written) in [(&before, 1, 2, later - 2 * minute), (&after, 2, 1, later)] {
        stage.spool(uuid, &version(uuid, spooled));
        let file = fs::File::open(stage.app.archived(uuid)).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o744)).unwrap();
        file.set_modified(written).unwrap();
        stage.store(uuid, version(uuid, stored)).await;
    }
    stage.app.dc.restart_imgapi().await.unwrap();
    stage.nothing_is_left().await;
    for uuid in [&deleted, &earlier, &before, &after] {
        assert_eq!(stage.archived(uuid).await, Some(version(uuid, 2)));
    }
    stage.stop().await;
}

async fn what_somebody_else_brings_meanwhile_is_not_replaced_unseen(_shared: &TestApp) {
    let stage = Stage::start().await;
    let uuid = stage.app.luke().has_image(json!({})).await;
    stage.is_current(&uuid).await;
    for is_later in [true, false] {
        let faults = stage.app.dc.manta().unwrap().faults();
        let met = faults.applied();
        stage.fault(MantaFaultRule::new(MantaFault::Stall).method("PUT").path("/archive/").times(1));
        stage.change(&uuid, &json!({"description": format!("first, {is_later}")})).await;
        faults.wait_applied(met + 1).await;
        // The PUT of the first version is in progress when another process stores a version.
        stage.change(&uuid, &json!({"description": format!("second, {is_later}")})).await;
        let current = stage.app.luke().get_image(&uuid).await.text().to_owned();
        stage.store(&uuid, if is_later { current.clone() } else { "an earlier one".to_owned() }).await;
        let brought = stage.manta.head(&Stage::place(&uuid)).await.unwrap().etag;
        stage.heal();
        stage.is_current(&uuid).await;
        let there = stage.manta.head(&Stage::place(&uuid)).await.unwrap().etag;
        assert_eq!(there == brought, is_later, "what is right is left alone");
    }
    stage.stop().await;
}

async fn a_write_whose_answer_is_lost_is_archived(_shared: &TestApp) {
    use coal::moray::{Fault, FaultRule};
    let mut stage = Stage::start().await;
    let uuid = stage.app.luke().has_image(json!({})).await;
    stage.is_current(&uuid).await;
    stage.app.dc.moray().faults().set(FaultRule::new(Fault::HangUpAfterWrite).method("putObject"));
    let update = stage.app.operator().call(Method::POST, &format!("/images/{uuid}?action=update"));
    let answer = update.json(&json!({"description": "unknown"})).send().await;
    stage.app.dc.moray().faults().clear();
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    stage.app.dc.restart_imgapi().await.unwrap();
    stage.app.nothing_unfinished().await;
    stage.is_current(&uuid).await;
    assert!(stage.archived(&uuid).await.unwrap().contains("unknown"));
    stage.stop().await;
}

async fn a_delete_whose_answer_is_lost_is_archived(_shared: &TestApp) {
    use coal::moray::{Fault, FaultRule};
    let mut stage = Stage::start().await;
    let uuid = stage.app.luke().has_image(json!({})).await;
    stage.fault(MantaFaultRule::new(MantaFault::HangUp).path("/archive/"));
    stage.change(&uuid, &json!({"description": "the last one"})).await;
    let last = stage.app.luke().get_image(&uuid).await.text().to_owned();
    stage.app.dc.moray().faults().set(FaultRule::new(Fault::HangUpAfterWrite).method("batch"));
    stage.app.luke().delete(&uuid).await;
    stage.app.dc.moray().faults().clear();
    stage.app.luke().get_image(&uuid).await.refused(404, "ResourceNotFound");
    stage.heal();
    stage.app.dc.restart_imgapi().await.unwrap();
    stage.app.nothing_unfinished().await;
    stage.nothing_is_left().await;
    assert_eq!(stage.archived(&uuid).await, Some(last));
    stage.stop().await;
}

async fn operators_see_what_is_left(_shared: &TestApp) {
    let stage = Stage::start().await;
    stage.fault(MantaFaultRule::new(MantaFault::HangUp).path("/archive/"));
    for _ in 0..3 {
        stage.app.luke().has_image(json!({})).await;
    }
    wait_until("three are left", async || (stage.worker().await["pending"] == 3).then_some(())).await;
    let metrics = stage.app.metrics().await;
    assert!(metrics.contains("worker=\"archive\""), "{metrics}");
    stage.heal();
    wait_until("none is left", async || {
        let worker = stage.worker().await;
        (worker["pending"] == 0 && worker["done"] == 3).then_some(())
    })
    .await;
    stage.nothing_is_left().await;
    stage.stop().await;
}

async fn with_a_local_database_the_local_archive_stays(_shared: &TestApp) {
    let mut stage = Stage::start_with(|dc| dc.imgapi_config("databaseType", "local")).await;
    let uuid = stage.app.luke().has_image(json!({})).await;
    let gone = stage.app.luke().has_image(json!({})).await;
    let last = stage.app.luke().get_image(&gone).await.text().to_owned();
    stage.app.luke().delete(&gone).await.gone();
    stage.change(&uuid, &json!({"description": "changed"})).await;
    let current = stage.app.luke().get_image(&uuid).await.text().to_owned();
    // At a start, everything is checked again, and nothing has to be stored.
    for _ in 0..2 {
        stage.arrives(&uuid, &current).await;
        stage.arrives(&gone, &last).await;
        wait_until("nothing is left", async || (stage.worker().await["pending"] == 0).then_some(())).await;
        let etag = stage.manta.head(&Stage::place(&gone)).await.unwrap().etag;
        for (uuid, version) in [(&uuid, &current), (&gone, &last)] {
            assert_eq!(&fs::read_to_string(stage.app.archived(uuid)).unwrap(), version);
        }
        stage.app.dc.restart_imgapi().await.unwrap();
        let looked = async || (stage.worker().await["done"] == 2).then_some(());
        wait_until("all of it was looked at", looked).await;
        assert_eq!(stage.manta.head(&Stage::place(&gone)).await.unwrap().etag, etag);
    }
    stage.stop().await;
}
