// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files in Manta. These tests start their own datacenters.

use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use http_signature::PrivateKey;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{ADMIN, Answer, LUKE, TestApp, sha1_of, tests, wait_until};

tests! {
    the_owner_decides_with_a_remote_manta_and_not_with_a_near_one,
    what_is_stored_stays_where_it_is_when_the_configuration_changes,
    a_file_and_an_icon_live_and_go_in_manta,
    an_upload_that_fails_changes_nothing,
    a_file_can_be_replaced_and_is_where_4_13_1_looks_for_it,
    two_uploads_at_a_time_have_one_winner,
    a_file_moves_between_storages,
    what_an_interrupted_move_left_goes_with_the_next_one,
    a_clone_and_a_new_uuid_have_their_own_objects,
    a_download_goes_on_after_a_broken_connection,
    without_manta_nothing_is_lost_and_all_comes_back,
    an_object_that_is_another_one_is_no_file,
    an_image_is_exported_to_a_directory_or_a_prefix,
}

/// A datacenter with Manta, and a client of it.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    pub(crate) manta: manta::Client,
}

impl Stage {
    async fn start(mode: MantaMode) -> Stage {
        Stage::start_with(|dc| dc.manta(mode)).await
    }

    /// Starts a datacenter that `build` changes; it must have a Manta.
    pub(crate) async fn start_with(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> Stage {
        let app = TestApp::start_with(build).await;
        let pem = std::fs::read_to_string(app.dc.key_file("admin")).unwrap();
        let url = app.dc.manta().unwrap().url();
        let config = manta::Config::new(url, "admin", PrivateKey::from_pem(&pem).unwrap());
        Stage { manta: manta::Client::new(config).unwrap(), app }
    }

    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }

    pub(crate) fn directory(uuid: &str) -> manta::Path {
        manta::Path::new(format!("/admin/stor/imgapi/coal/images/{}/{uuid}", &uuid[..3])).unwrap()
    }

    /// Returns the names of an image's objects; empty without a directory.
    pub(crate) async fn objects(&self, uuid: &str) -> Vec<String> {
        match self.manta.list(&Stage::directory(uuid)).try_collect::<Vec<_>>().await {
            Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn object(&self, uuid: &str, name: &str) -> Vec<u8> {
        let path = Stage::directory(uuid).join(name).unwrap();
        let object = self.manta.get(&path, &Default::default()).await.unwrap();
        object.body.try_collect::<Vec<_>>().await.unwrap().concat()
    }

    /// Returns the storage of the file according to the database.
    pub(crate) async fn stor(&self, uuid: &str) -> Value {
        self.app.stored(uuid).await.unwrap().0["files"][0]["stor"].clone()
    }

    /// Restarts the application with a changed configuration.
    async fn restart_with(&mut self, change: impl FnOnce(&mut Value)) {
        let file = self.app.dc.config_file();
        let mut config = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(file, config.to_string()).unwrap();
        self.app.dc.restart_imgapi().await.unwrap();
    }

    pub(crate) fn fault(&self, rule: impl Into<MantaFaultRule>) {
        self.app.dc.manta().unwrap().faults().set(rule);
    }

    pub(crate) fn heal(&self) {
        self.app.dc.manta().unwrap().faults().clear();
    }

    pub(crate) async fn move_to(&self, uuid: &str, stor: &str) -> Answer {
        let target = format!("/images/{uuid}?action=change-stor&stor={stor}");
        self.app.operator().call(Method::POST, &target).send().await
    }
}

async fn the_owner_decides_with_a_remote_manta_and_not_with_a_near_one(_shared: &TestApp) {
    for (mode, admins) in [(MantaMode::Remote, "local"), (MantaMode::Local, "manta")] {
        let stage = Stage::start(mode).await;
        let state = stage.app.operator().get("/state").await.ok();
        assert_eq!(state["storageTypes"], json!(["manta", "local"]));
        let app = &stage.app;
        let of_admin = app.admin().has_image_with_file(json!({}), b"admin's").await;
        let of_luke = app.luke().has_image_with_file(json!({}), b"luke's").await;
        assert_eq!(
            (stage.stor(&of_admin).await, stage.stor(&of_luke).await),
            (json!(admins), json!("manta"))
        );
        assert_eq!(app.file(&of_admin).exists(), admins == "local");
        for (uuid, bytes) in [(&of_admin, "admin's"), (&of_luke, "luke's")] {
            assert_eq!(app.operator().download(uuid).await.text(), bytes);
        }
        // An operator can choose the storage. An icon follows the same rules.
        let wished = app.luke().has_image(json!({})).await;
        app.operator().upload(&wished, "compression=none&storage=local", "here").await.ok();
        assert_eq!(stage.stor(&wished).await, "local");
        let refused = app.luke().upload(&wished, "compression=none&storage=manta", "x").await;
        refused.refused_field("InvalidParameter", "storage", "NotAllowed");
        let icon = app.admin().call(Method::PUT, &format!("/images/{of_admin}/icon"));
        icon.header("content-type", "image/png").body("icon").send().await.ok();
        assert_eq!(app.stored(&of_admin).await.unwrap().0["icon"]["stor"], admins);
        stage.stop().await;
    }
}

async fn what_is_stored_stays_where_it_is_when_the_configuration_changes(_shared: &TestApp) {
    let mut stage = Stage::start(MantaMode::Local).await;
    let of_admin = stage.app.admin().has_image_with_file(json!({}), b"admin's").await;
    let of_luke = stage.app.luke().has_image_with_file(json!({}), b"luke's").await;
    let wished = stage.app.luke().has_image(json!({})).await;
    stage.app.operator().upload(&wished, "compression=none&storage=local", "here").await.ok();
    add_icon(&stage.app, &of_luke).await.ok();

    // New files go to the other storage. Existing files are found, and move when they are replaced.
    stage.restart_with(|config| config["manta"]["remote"] = json!(true)).await;
    let admin = stage.app.admin();
    assert_eq!(admin.download(&of_admin).await.text(), "admin's");
    assert_eq!((stage.stor(&of_admin).await, stage.stor(&of_luke).await), (json!("manta"), json!("manta")));
    let another = admin.has_image_with_file(json!({}), b"another").await;
    assert_eq!(stage.stor(&another).await, "local");
    admin.upload(&of_admin, "compression=none", "replaced").await.ok();
    assert_eq!((stage.stor(&of_admin).await, stage.objects(&of_admin).await.len()), (json!("local"), 0));
    assert_eq!(admin.download(&of_admin).await.text(), "replaced");

    // Without Manta its files are unavailable, and not mistaken for missing ones.
    stage.restart_with(|config| config["storageTypes"] = json!(["local"])).await;
    let luke = stage.app.luke();
    luke.download(&of_luke).await.refused(503, "StorageUnsupported");
    luke.get(&format!("/images/{of_luke}/icon")).await.refused(503, "StorageUnsupported");
    assert_eq!(luke.get_image(&of_luke).await.ok()["files"][0]["sha1"], sha1_of(b"luke's"));
    assert_eq!(luke.download(&wished).await.text(), "here");
    let new = luke.has_image(json!({})).await;
    stage.app.operator().upload(&new, "compression=none&storage=manta", "new").await.ok();
    assert_eq!(stage.stor(&new).await, "local");

    stage.restart_with(|config| config["storageTypes"] = json!(["manta", "local"])).await;
    let luke = stage.app.luke();
    assert_eq!(luke.download(&of_luke).await.text(), "luke's");
    assert_eq!(luke.get(&format!("/images/{of_luke}/icon")).await.text(), "icon");
    assert_eq!((luke.download(&new).await.text(), stage.stor(&new).await), ("new", json!("local")));
    stage.stop().await;
}

async fn add_icon(app: &TestApp, uuid: &str) -> Answer {
    let icon = app.operator().call(Method::PUT, &format!("/images/{uuid}/icon"));
    icon.header("content-type", "image/png").body("icon").send().await
}

async fn a_file_and_an_icon_live_and_go_in_manta(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image(json!({})).await;
    let bytes = vec![9; 3_000_001];
    let uploaded = luke.upload(&uuid, "compression=gzip", bytes.clone()).await.ok();
    assert_eq!(uploaded["files"][0]["sha1"], sha1_of(&bytes));
    luke.call(Method::PUT, &format!("/images/{uuid}/icon"))
        .header("content-type", "image/png")
        .body("icon")
        .send()
        .await
        .ok();
    assert_eq!(stage.objects(&uuid).await, ["file0", "icon"]);
    assert!(stage.object(&uuid, "file0").await == bytes);
    luke.activate(&uuid).await.ok();
    let whole = luke.download(&uuid).await;
    assert_eq!((whole.status, whole.header("content-length")), (200, Some("3000001")));
    assert!(whole.body == bytes);
    let part =
        luke.call(Method::GET, &format!("/images/{uuid}/file")).header("range", "bytes=1-3").send().await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 1-3/3000001")));
    assert_eq!(part.body, [9; 3].as_slice());
    let head = luke.call(Method::HEAD, &format!("/images/{uuid}/file")).send().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("3000001")));
    assert_eq!(luke.get(&format!("/images/{uuid}/icon")).await.text(), "icon");
    luke.call(Method::DELETE, &format!("/images/{uuid}/icon")).send().await.ok();
    assert_eq!(stage.objects(&uuid).await, ["file0"]);
    luke.delete(&uuid).await.gone();
    assert_eq!(stage.objects(&uuid).await, Vec::<String>::new());
    assert!(stage.manta.head(&Stage::directory(&uuid)).await.unwrap_err().is_not_found());
    stage.stop().await;
}

async fn an_upload_that_fails_changes_nothing(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let (new, uuid) = (luke.has_image(json!({})).await, luke.has_image_with_file(json!({}), b"good").await);
    for uuid in [&new, &uuid] {
        let before = stage.objects(uuid).await;
        let wrong = format!("compression=none&sha1={}", sha1_of(b"other"));
        luke.upload(uuid, &wrong, "bytes").await.refused(400, "Download");
        luke.upload(uuid, "compression=none", "").await.refused(400, "Download");
        let mut aborted = stage.app.connect().await;
        let head = format!(
            "PUT /images/{uuid}/file?compression=none HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx"
        );
        aborted.send(head).await;
        aborted.finish().await;
        aborted.read_answer().await.refused(400, "BadRequestError");
        stage.fault(MantaFaultRule::new(MantaFault::WrongComputedMd5).method("PUT"));
        luke.upload(uuid, "compression=none", "bytes").await.refused(503, "StorageIsDown");
        stage.heal();
        stage.fault(MantaFaultRule::new(MantaFault::CutAfter { bytes: 100_000 }).method("PUT"));
        luke.upload(uuid, "compression=none", vec![1; 2 << 20]).await.refused(503, "StorageIsDown");
        stage.heal();
        wait_until("nothing remains", async || (stage.objects(uuid).await == before).then_some(())).await;
    }
    assert_eq!(luke.download(&uuid).await.text(), "good");
    assert_eq!(luke.get_image(&new).await.ok()["files"], json!([]));
    stage.stop().await;
}

async fn a_file_can_be_replaced_and_is_where_4_13_1_looks_for_it(_shared: &TestApp) {
    let mut stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"first").await;
    luke.upload(&uuid, "compression=none", "second").await.ok();
    assert_eq!(luke.download(&uuid).await.text(), "second");
    assert_eq!(
        (stage.objects(&uuid).await, stage.object(&uuid, "file0").await),
        (vec!["file0".to_owned()], b"second".to_vec())
    );
    let (record, _) = stage.app.stored(&uuid).await.unwrap();
    assert_eq!(record["files"][0].get("object"), None);

    // While the object cannot be copied to its final name, it is read under its own name.
    stage.fault(MantaFaultRule::new(MantaFault::InternalError).method("GET"));
    luke.upload(&uuid, "compression=none", "third").await.ok();
    stage.heal();
    let (record, _) = stage.app.stored(&uuid).await.unwrap();
    let own = record["files"][0]["object"]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        (stage.object(&uuid, &own).await, stage.object(&uuid, "file0").await),
        (b"third".to_vec(), b"second".to_vec())
    );
    assert_eq!(luke.download(&uuid).await.text(), "third");
    luke.activate(&uuid).await.ok();
    // The object gets its final name later.
    stage.app.dc.restart_imgapi().await.unwrap();
    let luke = stage.app.luke();
    wait_until("it has its final name", async || (stage.objects(&uuid).await == ["file0"]).then_some(()))
        .await;
    assert_eq!(stage.object(&uuid, "file0").await, b"third");
    assert_eq!(luke.download(&uuid).await.text(), "third");
    luke.delete(&uuid).await.gone();
    assert_eq!(stage.objects(&uuid).await, Vec::<String>::new());

    // A new file moves the image from one storage to the other.
    let uuid = luke.has_image_with_file(json!({}), b"remote").await;
    stage.app.operator().upload(&uuid, "compression=none&storage=local", "local").await.ok();
    assert_eq!(stage.objects(&uuid).await, Vec::<String>::new());
    stage.app.operator().upload(&uuid, "compression=none&storage=manta", "again").await.ok();
    assert!(!stage.app.file(&uuid).exists());
    assert_eq!(luke.download(&uuid).await.text(), "again");
    stage.stop().await;
}

async fn two_uploads_at_a_time_have_one_winner(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    for _ in 0..5 {
        let uuid = luke.has_image(json!({})).await;
        let uploads = (1..=4u8).map(|byte| luke.upload(&uuid, "compression=none", vec![byte; 1 << 20]));
        for answer in join_all(uploads).await {
            answer.ok();
        }
        let sha1 = luke.get_image(&uuid).await.ok()["files"][0]["sha1"].clone();
        let bytes = luke.download(&uuid).await.body;
        assert_eq!(sha1, sha1_of(&bytes));
        wait_until("the others are gone", async || (stage.objects(&uuid).await.len() == 1).then_some(()))
            .await;
        assert!(stage.object(&uuid, "file0").await == bytes);
    }
    stage.stop().await;
}

async fn a_file_moves_between_storages(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"moving").await;
    luke.activate(&uuid).await.ok();
    for (stor, remote) in [("local", 0), ("local", 0), ("manta", 1), ("manta", 1), ("local", 0)] {
        let moved = stage.move_to(&uuid, stor).await.ok();
        assert_eq!(moved["files"][0]["stor"], stor);
        assert_eq!(stage.stor(&uuid).await, stor);
        assert_eq!(
            (stage.app.file(&uuid).exists(), stage.objects(&uuid).await.len()),
            (stor == "local", remote)
        );
        assert_eq!(luke.download(&uuid).await.text(), "moving");
    }
    // A damaged file does not move.
    std::fs::write(stage.app.file(&uuid), "damage").unwrap();
    stage.move_to(&uuid, "manta").await.refused(500, "InternalError");
    assert_eq!((stage.stor(&uuid).await, stage.objects(&uuid).await.len()), (json!("local"), 0));
    let without = luke.has_image(json!({})).await;
    stage.move_to(&without, "manta").await.refused(422, "ValidationFailed");
    stage.stop().await;
}

async fn what_an_interrupted_move_left_goes_with_the_next_one(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"moving").await;
    let mut record = stage.app.stored(&uuid).await.unwrap().0;
    // The move was interrupted before it wrote the record: the copy exists, but no record names it.
    std::fs::create_dir_all(stage.app.file(&uuid).parent().unwrap()).unwrap();
    std::fs::write(stage.app.file(&uuid), "half").unwrap();
    stage.move_to(&uuid, "local").await.ok();
    assert_eq!(luke.download(&uuid).await.text(), "moving");
    let rest = Stage::directory(&uuid).join("file0").unwrap();
    let put = manta::NewObject { make_directories: true, ..Default::default() };
    stage.manta.put_bytes(&rest, "half".into(), &put).await.unwrap();
    stage.move_to(&uuid, "manta").await.ok();
    // The object could belong to an upload whose record is about to be written, so it stays for now. It does no harm.
    assert_eq!((luke.download(&uuid).await.text(), stage.objects(&uuid).await.len()), ("moving", 2));
    // The move was interrupted after it wrote the record: the source still exists.
    std::fs::create_dir_all(stage.app.file(&uuid).parent().unwrap()).unwrap();
    std::fs::write(stage.app.file(&uuid), "moving").unwrap();
    record["files"][0]["stor"] = json!("manta");
    stage.move_to(&uuid, "manta").await.ok();
    assert!(!stage.app.file(&uuid).exists());
    stage.stop().await;
}

async fn a_clone_and_a_new_uuid_have_their_own_objects(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let (luke, vader) = (stage.app.luke(), stage.app.vader());
    let shared = luke.has_image_with_file(json!({"acl": [super::support::VADER]}), b"shared").await;
    luke.activate(&shared).await.ok();
    let clone = vader.call(Method::POST, &format!("/images/{shared}/clone")).send().await.ok();
    let clone = clone["uuid"].as_str().unwrap();
    assert_eq!(
        (stage.stor(clone).await, stage.objects(clone).await),
        (json!("manta"), vec!["file0".to_owned()])
    );
    luke.delete(&shared).await.gone();
    assert_eq!(vader.download(clone).await.text(), "shared");

    let old = luke.has_image_with_file(json!({}), b"renamed").await;
    let new = uuid::Uuid::new_v4().to_string();
    let rename = stage.app.operator().call(Method::POST, &format!("/images/{old}?action=update"));
    rename.json(&json!({"uuid": new})).send().await.ok();
    assert_eq!((stage.objects(&old).await.len(), stage.objects(&new).await), (0, vec!["file0".to_owned()]));
    assert_eq!(luke.download(&new).await.text(), "renamed");
    stage.stop().await;
}

async fn a_download_goes_on_after_a_broken_connection(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image(json!({})).await;
    let bytes: Vec<u8> = (0..8u32 << 20).map(|number| (number >> 8) as u8).collect();
    luke.upload(&uuid, "compression=none", bytes.clone()).await.ok();
    for times in 1..=6 {
        let cut = MantaFault::CutAfter { bytes: 1_000_000 + u64::from(times) };
        stage.fault(MantaFaultRule::new(cut).method("GET").times(times));
        assert!(luke.download(&uuid).await.body == bytes, "{times} cuts");
        stage.heal();
    }
    stage.stop().await;
}

async fn without_manta_nothing_is_lost_and_all_comes_back(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"there").await;
    let other = luke.has_image_with_file(json!({"acl": [super::support::VADER]}), b"other").await;
    luke.activate(&other).await.ok();
    for fault in [MantaFault::HangUp, MantaFault::InternalError, MantaFault::Unavailable { retry_after: 0 }] {
        stage.fault(fault);
        luke.download(&uuid).await.refused(503, "StorageIsDown");
        luke.upload(&uuid, "compression=none", "new").await.refused(503, "StorageIsDown");
        luke.activate(&uuid).await.refused(503, "StorageIsDown");
        let clone = stage.app.vader().call(Method::POST, &format!("/images/{other}/clone"));
        clone.send().await.refused(503, "StorageIsDown");
        stage.move_to(&uuid, "local").await.refused(503, "StorageIsDown");
        // Operations that do not need Manta still work.
        stage
            .app
            .operator()
            .upload(&luke.has_image(json!({})).await, "compression=none&storage=local", "x")
            .await
            .ok();
        stage.heal();
        assert_eq!(luke.download(&uuid).await.text(), "there");
    }
    luke.activate(&uuid).await.ok();
    stage.stop().await;
}

async fn an_object_that_is_another_one_is_no_file(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let luke = stage.app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"right").await;
    let path = Stage::directory(&uuid).join("file0").unwrap();
    for other in ["other", "longer than that"] {
        stage.manta.put_bytes(&path, other.into(), &Default::default()).await.unwrap();
        luke.download(&uuid).await.refused(500, "InternalError");
        luke.activate(&uuid).await.refused(500, "InternalError");
    }
    stage.manta.delete(&path, None).await.unwrap();
    luke.download(&uuid).await.refused(500, "InternalError");
    stage.stop().await;
}

async fn an_image_is_exported_to_a_directory_or_a_prefix(_shared: &TestApp) {
    let stage = Stage::start(MantaMode::Local).await;
    let (app, admin) = (&stage.app, stage.app.admin());
    let manifest = json!({"name": "exported", "version": "1.2.3"});
    let uuid = admin.has_image(manifest).await;
    admin.upload(&uuid, "compression=gzip", "bytes").await.ok();
    let export = async |query: &str| {
        let target = format!("/images/{uuid}?action=export{query}");
        app.operator().call(Method::POST, &target).send().await
    };
    let directory = manta::Path::new("/admin/stor/exports/here").unwrap();
    stage.manta.mkdirp(&directory).await.unwrap();
    for (path, prefix) in [
        ("/admin/stor/exports/here", "/admin/stor/exports/here/exported-1.2.3"),
        ("/admin/./stor/x/../exports/here/mine", "/admin/stor/exports/here/mine"),
        ("/admin/stor/exports/here/mine", "/admin/stor/exports/here/mine"),
    ] {
        let expected = json!({
            "manta_url": app.dc.manta().unwrap().url(),
            "image_path": format!("{prefix}.zfs.gz"),
            "manifest_path": format!("{prefix}.imgmanifest"),
        });
        assert_eq!(export(&format!("&manta_path={path}")).await.ok(), expected);
        for (name, expected) in [
            (format!("{prefix}.zfs.gz"), b"bytes".to_vec()),
            (format!("{prefix}.imgmanifest"), {
                let image = app.operator().get_image(&uuid).await.ok();
                let mut text = Vec::new();
                let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
                serde::Serialize::serialize(
                    &image,
                    &mut serde_json::Serializer::with_formatter(&mut text, indent),
                )
                .unwrap();
                text
            }),
        ] {
            let path = manta::Path::new(name).unwrap();
            let object = stage.manta.get(&path, &Default::default()).await.unwrap();
            assert_eq!(object.body.try_collect::<Vec<_>>().await.unwrap().concat(), expected);
        }
    }
    export("").await.refused_field("ValidationFailed", "manta_path", "MissingParameter");
    // The form that newer clients send.
    let export_by = async |query: &str, body: Value| {
        let target = format!("/images/{uuid}?action=export{query}");
        app.operator().call(Method::POST, &target).json(&body).send().await
    };
    let path = "/admin/stor/exports/here/again";
    let by_admin = format!("&account={ADMIN}");
    for (query, account) in [("", json!(null)), ("", json!(ADMIN)), (&*by_admin, json!("x"))] {
        let exported = export_by(query, json!({"manta_path": path, "account": account})).await.ok();
        assert_eq!(exported["manifest_path"], format!("{path}.imgmanifest"));
    }
    export_by("", json!({"manta_path": path, "account": LUKE})).await.not_found();
    for nowhere in [
        "/",
        "x",
        "/..",
        "x/admin",
        "/admin/stor/nowhere/x",
        "/nobody/stor/x",
        "/admin",
        "/admin/",
        "/admin/stor/..",
        "/admin/nothing",
        "/nobody",
    ] {
        let refused = export(&format!("&manta_path={nowhere}")).await;
        refused.refused_field("InvalidParameter", "manta_path", "Invalid");
    }
    let theirs = stage.app.luke().has_image_with_file(json!({}), b"luke's").await;
    let target = format!("/images/{theirs}?action=export&manta_path=/admin/stor/x");
    stage.app.luke().call(Method::POST, &target).send().await.refused(422, "NotMantaPathOwner");
    let action = format!("/images/{theirs}?action=change-stor");
    let moved = app.operator().call(Method::POST, &action).json(&json!({"stor": "local"})).send().await;
    assert_eq!(moved.ok()["files"][0]["stor"], "local");
    stage.app.operator().call(Method::POST, &target).send().await.refused(503, "StorageUnsupported");
    stage.stop().await;
}
