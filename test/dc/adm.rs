// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The data tools of `imgapi adm`. Each test has its own datacenter.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use coal::datacenter::MantaMode;
use coal::manta::MantaFault;
use serde_json::{Value, json};
use tokio::process::Command;

use super::manta::Stage;
use super::support::{NOBODY, TestApp, fresh, merged, small_record, takeover_records, tests, within};

tests! {
    good_files_are_found_good_and_bad_ones_counted,
    files_without_an_image_are_moved_aside_on_demand,
    what_is_no_file_and_names_that_are_no_text_are_told,
    objects_in_manta_are_compared_too,
    files_move_in_bulk_and_what_fails_is_told,
    a_dump_is_loaded_into_an_empty_moray_unchanged,
    a_load_never_overwrites_unless_it_is_told_to,
    a_load_tells_of_images_that_cannot_be_installed,
    lines_that_are_no_records_are_refused_one_by_one,
}

/// Runs `imgapi adm` with these arguments, while the service runs.
pub(crate) async fn adm(app: &TestApp, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.arg("adm").arg("-f").arg(app.dc.config_file()).args(words);
    command.kill_on_drop(true);
    within(&words.join(" "), command.output()).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Returns the report of `check-files --json`, and its exit status.
pub(crate) async fn checked(app: &TestApp, words: &[&str]) -> (Value, i32) {
    let output = adm(app, &[&["check-files", "--json"], words].concat()).await;
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (report, output.status.code().unwrap())
}

fn problems(report: &Value) -> BTreeMap<String, String> {
    let bad = report["bad"].as_array().unwrap().iter();
    bad.map(|bad| (bad["uuid"].as_str().unwrap().to_owned(), bad["problem"].as_str().unwrap().to_owned()))
        .collect()
}

async fn good_files_are_found_good_and_bad_ones_counted(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let uuid = async |bytes: &'static [u8]| {
        let uuid = app.luke().has_image_with_file(json!({}), bytes).await;
        app.luke().activate(&uuid).await.ok();
        uuid
    };
    let (good, longer, other, gone) =
        (uuid(b"good").await, uuid(b"longer").await, uuid(b"other").await, uuid(b"gone").await);
    let no_gzip = app.luke().has_image(json!({"tags": {"docker:id": "sha256:1"}})).await;
    app.luke().upload(&no_gzip, "compression=gzip", "no gzip").await.ok();
    assert_eq!(checked(&app, &["-s"]).await.1, 0);
    let (report, bad) = checked(&app, &[]).await;
    assert_eq!((problems(&report), bad), (BTreeMap::from([(no_gzip.clone(), "undecodable".into())]), 1));
    assert_eq!((&report["images"], &report["files"], &report["skipped"]), (&json!(5), &json!(5), &json!(0)));

    std::fs::write(app.file(&longer), "longer than before").unwrap();
    std::fs::write(app.file(&other), "OTHER").unwrap();
    std::fs::remove_file(app.file(&gone)).unwrap();
    // A quick check does not notice changed bytes.
    let (report, bad) = checked(&app, &["-s"]).await;
    let sizes = [(longer.clone(), "other-size".to_owned()), (gone.clone(), "missing".to_owned())];
    assert_eq!((problems(&report), bad), (sizes.clone().into(), 2));
    // By default, files that were good are read again only if they have changed.
    let others = [(other.clone(), "other-content".to_owned()), (no_gzip.clone(), "undecodable".to_owned())];
    let all: BTreeMap<_, _> = sizes.into_iter().chain(others).collect();
    for (words, skipped) in [(&[][..], 1), (&["-f"], 0)] {
        let (report, bad) = checked(&app, words).await;
        assert_eq!((problems(&report), report["skipped"].as_u64(), bad), (all.clone(), Some(skipped), 4));
    }
    let (report, bad) = checked(&app, &["-f", &good, &other]).await;
    assert_eq!((problems(&report).len(), bad, &report["images"]), (1, 1, &json!(2)));
    let (report, bad) = checked(&app, &["-d", "-f"]).await;
    assert_eq!((problems(&report).into_keys().collect::<Vec<_>>(), bad), (vec![no_gzip], 1));

    let output = adm(&app, &["check-files", "-f", "-d", "-s", NOBODY]).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(255), ""), "{output:?}");
    let output = adm(&app, &["-v", "check-files", "-f", &other]).await;
    let report = text(&output.stdout);
    assert!(report.contains(&format!("  Image: {other} (small 1.0.0)\n")), "{report}");
    for line in ["  State: image file corruption", &format!("         sdc-imgadm delete {other}")] {
        assert!(report.lines().any(|one| one == line), "{report}");
    }
    assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
    app.stop().await;
}

async fn files_without_an_image_are_moved_aside_on_demand(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let owned = app.luke().has_active_image(json!({})).await;
    let (lost, broken) = (fresh(), fresh());
    app.store(&merged(small_record(json!({"uuid": broken})), json!({"os": "beos"}))).await;
    for uuid in [&lost, &broken] {
        std::fs::create_dir_all(app.file(uuid).parent().unwrap()).unwrap();
        std::fs::write(app.file(uuid), "bytes").unwrap();
    }
    std::fs::write(app.file(&owned).with_file_name("file1"), "second").unwrap();
    std::fs::write(app.dc.local_dir().join("images/stray"), "x").unwrap();
    let (report, bad) = checked(&app, &["--fix"]).await;
    assert_eq!((bad, &report["orphans"]), (0, &json!([])), "they may be on their way");
    let found = |report: &Value| {
        let orphans = report["orphans"].as_array().unwrap().clone();
        let mut found: Vec<_> = orphans
            .iter()
            .map(|one| (one["file"].clone(), one["problem"].clone(), one["moved"].is_string()))
            .collect();
        found.sort_by_key(|one| one.0.to_string());
        found
    };
    let expected = |moved| {
        [
            (json!("file0"), json!("orphan"), moved),
            (json!("file1"), json!("orphan"), moved),
            (json!("stray"), json!("foreign"), false),
        ]
    };
    let now = ["--orphan-hours", "0"];
    let (report, bad) = checked(&app, &now).await;
    assert_eq!((found(&report).as_slice(), bad), (&expected(false)[..], 0));
    assert!(app.file(&lost).exists());
    let (report, _) = checked(&app, &[&now[..], &["--fix"]].concat()).await;
    assert_eq!(found(&report), expected(true));
    for orphan in report["orphans"].as_array().unwrap() {
        if let Some(path) = orphan["moved"].as_str() {
            let bytes = std::fs::read_to_string(app.dc.local_dir().join(path)).unwrap();
            assert!(["bytes", "second"].contains(&bytes.as_str()));
        }
    }
    assert!(
        !app.file(&lost).exists() && app.file(&broken).exists(),
        "a record that cannot be used may name it"
    );
    assert_eq!(app.luke().download(&owned).await.text(), "file");
    let (report, _) = checked(&app, &now).await;
    assert_eq!(found(&report).len(), 1);
    app.stop().await;
}

async fn what_is_no_file_and_names_that_are_no_text_are_told(_: &TestApp) {
    use std::os::unix::ffi::OsStrExt;

    let app = TestApp::start_empty().await;
    let (uuid, fifo) =
        (app.luke().has_active_image(json!({})).await, app.luke().has_active_image(json!({})).await);
    let directory = app.file(&uuid).parent().unwrap().to_owned();
    std::fs::create_dir(directory.join("below")).unwrap();
    std::fs::write(directory.join(std::ffi::OsStr::from_bytes(b"file\xff")), "x").unwrap();
    std::fs::remove_file(app.file(&fifo)).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(app.file(&fifo)).status().unwrap().success());
    let (report, bad) = checked(&app, &["-f", "--orphan-hours", "0", "--fix"]).await;
    assert_eq!((problems(&report), bad), (BTreeMap::from([(fifo, "unreadable".into())]), 1));
    let orphans = report["orphans"].as_array().unwrap();
    let of =
        |name: &str| orphans.iter().find(|one| one["file"] == name).unwrap_or_else(|| panic!("{report}"));
    assert_eq!((&of("below")["moved"], &of("below")["isFile"]), (&Value::Null, &json!(false)));
    let moved = of("file\\xff")["moved"].as_str().unwrap();
    assert!(moved.starts_with("orphans/") && moved.contains("file\\xff."), "{moved}");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
    let output = adm(&app, &["check-files", "--orphan-hours", "0", "--fix"]).await;
    let told = text(&output.stdout);
    assert!(told.contains("    Fix: it is no regular file: remove it if nothing needs it\n"), "{told}");
    assert!(!told.contains("moved to"), "{told}");
    app.stop().await;
}

async fn objects_in_manta_are_compared_too(_: &TestApp) {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let app = &stage.app;
    let (good, gone) =
        (app.luke().has_active_image(json!({})).await, app.luke().has_active_image(json!({})).await);
    assert_eq!(checked(app, &["-s", "--orphan-hours", "0"]).await.1, 0);
    stage.manta.delete(&Stage::directory(&gone).join("file0").unwrap(), None).await.unwrap();
    let lost = Stage::directory(NOBODY).join("file0").unwrap();
    let object = manta::NewObject { make_directories: true, ..manta::NewObject::default() };
    stage.manta.put_bytes(&lost, "lost"[..].into(), &object).await.unwrap();
    for words in [&["-s", "--orphan-hours", "0", "--fix"][..], &["--orphan-hours", "0"]] {
        let (report, bad) = checked(app, words).await;
        assert_eq!((problems(&report), bad), (BTreeMap::from([(gone.clone(), "missing".into())]), 1));
        assert_eq!(
            (&report["orphans"][0]["uuid"], &report["orphans"][0]["moved"]),
            (&json!(NOBODY), &Value::Null)
        );
    }
    assert_eq!(stage.objects(NOBODY).await, ["file0"], "nothing is deleted");
    // An object that was good is read again only if there is another one in its place.
    assert_eq!(checked(app, &[&good]).await.0["skipped"], 1);
    let place = Stage::directory(&good).join("file0").unwrap();
    stage.manta.put_bytes(&place, "FILE"[..].into(), &manta::NewObject::default()).await.unwrap();
    let (report, bad) = checked(app, &[&good]).await;
    assert_eq!((problems(&report), bad), (BTreeMap::from([(good.clone(), "mismatch".into())]), 1));
    stage.manta.put_bytes(&place, "file"[..].into(), &manta::NewObject::default()).await.unwrap();
    // Without an answer from Manta, the state of its files is unknown.
    stage.fault(MantaFault::BadGateway);
    let output = adm(app, &["check-files", "-f", &good]).await;
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    stage.heal();
    assert_eq!(checked(app, &["-f", &good]).await.1, 0);
    stage.stop().await;
}

async fn files_move_in_bulk_and_what_fails_is_told(_: &TestApp) {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let app = &stage.app;
    let mut uuids = Vec::new();
    for _ in 0..5 {
        uuids.push(app.luke().has_active_image(json!({"name": "moves"})).await);
    }
    let with_icon = app.luke().has_active_image(json!({"name": "stays"})).await;
    let icon = format!("/images/{with_icon}/icon?");
    app.luke()
        .call(reqwest::Method::PUT, &icon)
        .header("content-type", "image/png")
        .body("icon")
        .send()
        .await
        .ok();
    app.luke().has_image(json!({"name": "moves"})).await;

    let output = adm(app, &["change-stor", "local", "--name", "moves", "-n"]).await;
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 6), "{output:?}");
    assert_eq!(stage.stor(&uuids[0]).await, "manta");
    let output = adm(app, &["change-stor", "local", &uuids[0]]).await;
    assert!(
        output.status.success() && text(&output.stdout).starts_with("1 files moved to local"),
        "{output:?}"
    );
    let output = adm(app, &["change-stor", "local", "--all", "-j", "4"]).await;
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(told.starts_with(&format!("{with_icon} stays: error (NotImplemented)")), "{told}");
    assert!(told.ends_with("4 files moved to local, 2 images left alone, 1 failed\n"), "{told}");
    for uuid in &uuids {
        assert_eq!((stage.stor(uuid).await, app.file(uuid).exists()), (json!("local"), true));
        assert_eq!(app.operator().download(uuid).await.text(), "file");
    }
    let output = adm(app, &["change-stor", "manta", "--from", "local", "--name", "~move"]).await;
    assert!(
        output.status.success() && text(&output.stdout).starts_with("5 files moved to manta"),
        "{output:?}"
    );
    for words in [&["change-stor", "local"][..], &["change-stor", "attic", "--all"]] {
        assert_eq!(adm(app, words).await.status.code(), Some(2));
    }
    let output = adm(app, &["change-stor", "local", NOBODY]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error (ResourceNotFound)"), "{output:?}");
    stage.stop().await;
}

/// Returns the records of a dump, by UUID.
pub(crate) fn dumped(file: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records = records.map(|record| (record["uuid"].as_str().unwrap().to_owned(), record));
    let count = text.lines().count();
    let records: BTreeMap<_, _> = records.collect();
    assert_eq!(records.len(), count, "each comes once");
    records
}

fn many(count: usize) -> Vec<Value> {
    let unusual = json!({"future": {"a": [1.5, null]}, "tags": ["n=4"], "tagsObj": {"n": 4}, "objectclass": "sdcimage"});
    (0..count)
        .map(|number| merged(small_record(json!({"name": format!("image-{number}")})), unusual.clone()))
        .collect()
}

async fn a_dump_is_loaded_into_an_empty_moray_unchanged(_: &TestApp) {
    let (app, other) = (TestApp::start().await, TestApp::start_empty().await);
    app.store_all(&many(1100)).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    let path = file.to_str().unwrap();
    let output = adm(&app, &["dump", "-o", path]).await;
    assert!(output.status.success(), "{output:?}");
    let before = dumped(&file);
    assert_eq!(before.len(), 1100 + takeover_records().len());
    for (uuid, record) in before.iter().take(20) {
        assert_eq!(
            app.stored(uuid).await.unwrap().0.to_string(),
            record.to_string(),
            "members in their order, too"
        );
    }
    let stdout = adm(&app, &["dump"]).await;
    assert_eq!(stdout.stdout, std::fs::read(&file).unwrap());

    let output = adm(&other, &["load", path, "--dry-run"]).await;
    assert!(output.status.success() && text(&output.stderr).contains("nothing was written"), "{output:?}");
    assert_eq!(other.operator().list("state=all").await.len(), 0);
    // A load that was interrupted can be repeated.
    let half: String =
        std::fs::read_to_string(&file).unwrap().lines().take(700).map(|line| format!("{line}\n")).collect();
    std::fs::write(directory.path().join("half"), half).unwrap();
    let output = adm(&other, &["load", directory.path().join("half").to_str().unwrap()]).await;
    assert!(text(&output.stderr).contains("700 added"), "{output:?}");
    let output = adm(&other, &["load", path]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains("700 unchanged"), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), before.len());
    let again = directory.path().join("again");
    assert!(adm(&other, &["dump", "-o", again.to_str().unwrap()]).await.status.success());
    assert_eq!(dumped(&again), before);
    other.knows_what_others_wrote().await;
    let uuid = before.keys().next().unwrap();
    let shown =
        async |app: &TestApp| app.operator().get(&format!("/images/{uuid}?inclAdminFields=true")).await.ok();
    assert_eq!(shown(&other).await, shown(&app).await);
    app.stop().await;
    other.stop().await;
}

async fn a_load_never_overwrites_unless_it_is_told_to(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let record = small_record(json!({}));
    let uuid = record["uuid"].as_str().unwrap();
    app.store(&record).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    std::fs::write(&file, merged(record.clone(), json!({"name": "other"})).to_string()).unwrap();
    let path = file.to_str().unwrap();
    for dry in [&["load", path, "-n"][..], &["load", path]] {
        let output = adm(&app, dry).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stdout).starts_with(&format!("{uuid} left")), "{output:?}");
    }
    let output = adm(&app, &["load", path, "--replace", "-n"]).await;
    assert!(output.status.success() && text(&output.stdout) == format!("{uuid} replaced\n"), "{output:?}");
    assert_eq!(app.stored(uuid).await.unwrap().0["name"], "small");
    for told in ["replaced", "unchanged"] {
        let output = adm(&app, &["load", path, "--replace"]).await;
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), format!("{uuid} {told}\n").as_str())
        );
    }
    app.knows_what_others_wrote().await;
    assert_eq!(app.operator().get_image(uuid).await.ok()["name"], "other");
    app.stop().await;
}

/// The images are loaded as they are in the dump. The operator must load their origins, too.
async fn a_load_tells_of_images_that_cannot_be_installed(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let uuids: Vec<_> = (0..6).map(|_| fresh()).collect();
    let with =
        |at: usize, origin: &str| small_record(json!({"uuid": uuids[at], "origin": origin})).to_string();
    let there = app.luke().has_active_image(json!({})).await;
    let missing = fresh();
    // In order: a good record, one whose origin comes later, one whose origin never comes and one that depends on it, and a
    // circle.
    let lines = [
        with(0, &there),
        with(1, &uuids[0]),
        with(2, &uuids[3]),
        with(3, &missing),
        with(4, &uuids[5]),
        with(5, &uuids[4]),
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    std::fs::write(&file, lines.join("\n")).unwrap();
    for options in [&["-n"][..], &[], &[]] {
        let output = adm(&app, &[&["load", file.to_str().unwrap()], options].concat()).await;
        assert!(output.status.success(), "{output:?}");
        let told = text(&output.stderr);
        assert!(told.contains(&format!("{}: its origin {missing} is not there", uuids[3])), "{told}");
        assert!(told.contains("the image is an origin of itself"), "{told}");
        assert!(told.contains("2 cannot be installed"), "{told}");
        assert!(!uuids[..3].iter().any(|uuid| told.contains(uuid)), "{told}");
    }
    app.stop().await;
}

async fn lines_that_are_no_records_are_refused_one_by_one(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let (one, two) = (small_record(json!({"urn": "u"})), small_record(json!({"urn": "u"})));
    let broken = small_record(json!({"os": "beos"}));
    let lines = [
        one.to_string(),
        "{\"cut".into(),
        String::new(),
        "[]".into(),
        broken.to_string(),
        two.to_string(),
        one.to_string(),
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let output = adm(&app, &["load", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    let told: Vec<_> = text(&output.stdout).lines().collect();
    let starts = [
        format!("{} added", one["uuid"].as_str().unwrap()),
        "line 2 refused: no JSON object".into(),
        "line 4 refused: no JSON object".into(),
        format!("line 5 refused: {} is not valid: os", broken["uuid"].as_str().unwrap()),
        format!("{} refused: another image has its urn", two["uuid"].as_str().unwrap()),
        format!("{} unchanged", one["uuid"].as_str().unwrap()),
    ];
    assert_eq!(told.len(), starts.len(), "{told:?}");
    assert!(told.iter().zip(&starts).all(|(line, start)| line.starts_with(start.as_str())), "{told:?}");
    assert!(
        text(&output.stderr).contains("1 added, 0 replaced, 1 unchanged, 0 left, 4 refused"),
        "{output:?}"
    );
    let output = adm(&app, &["load", "/nowhere/dump"]).await;
    assert_eq!(output.status.code(), Some(1));
    app.stop().await;
}
