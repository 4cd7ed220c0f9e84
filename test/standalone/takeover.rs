// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A directory of 4.13.1 with channels. We serve it unchanged, and 4.13.1 can still read it after our changes. Its manifests are
//! also loaded from a dump.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::configured;
use super::support::{TestApp, tests, within};

tests! {
    what_4_13_1_left_is_served_and_stays_as_it_is,
    what_is_written_afterwards_is_what_4_13_1_reads,
    a_dump_of_files_is_loaded_while_the_service_is_down,
}

/// An image in channel dev, with a file and an icon. The manifest says that each has four bytes; they have five.
const IN_DEV: &str = "8ba6d20f-6013-f944-9d69-929ebdef45a2";
/// An image without channels, which is not visible on a server with channels.
const IN_NONE: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
/// An image in channel dev that is not activated.
const UNACTIVATED: &str = "107358ee-7fe3-4f1e-a892-56d4b43b57f6";
/// An image in channel release that is not activated.
const IN_RELEASE: &str = "5ec75a9b-be1c-4ff2-b8f6-9d181fae2702";
/// A deleted image, which is only in the archive.
const DELETED: &str = "3e6ebb8c-bb37-9245-ba5d-43d172461be6";

fn left() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test/data/takeover/standalone-channels")
}

/// Returns all files below a directory, by path.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

fn settings() -> Value {
    json!({
        "mode": "public", "databaseType": "local", "moray": null, "ufds": null,
        "channels": [
            {"name": "dev", "description": "all images", "default": true},
            {"name": "staging", "description": "those that may be released"},
            {"name": "release", "description": "released images"},
        ],
    })
}

/// Returns a server that has taken over the directory.
async fn taken_over() -> TestApp {
    let mut app = configured(settings()).await;
    app.dc.moray().stop().await;
    app.dc.stop_imgapi().await.unwrap();
    for (path, bytes) in files(&left()) {
        let place = app.dc.local_dir().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
    app.dc.restart_imgapi().await.unwrap();
    app
}

async fn call(app: &TestApp, method: Method, target: &str) -> super::support::Answer {
    app.operator().call(method, target).header("accept-version", "~2").send().await
}

async fn what_4_13_1_left_is_served_and_stays_as_it_is(_: &TestApp) {
    let app = taken_over().await;
    let get = async |target: &str| call(&app, Method::GET, target).await;
    let listed = async |query: &str| -> Vec<String> {
        let images = get(&format!("/images?{query}")).await.ok();
        let mut uuids: Vec<_> = images
            .as_array()
            .unwrap()
            .iter()
            .map(|image| image["uuid"].as_str().unwrap().to_owned())
            .collect();
        uuids.sort();
        uuids
    };
    assert_eq!(listed("").await, [IN_DEV]);
    // Anonymous callers only get lists of active images, whatever state they request.
    assert_eq!(listed("state=all&channel=*").await, [IN_DEV]);
    assert_eq!(listed("state=all&channel=release").await, [""; 0]);
    let expected = json!({
        "v": 2, "uuid": IN_DEV, "owner": "00000000-0000-0000-0000-000000000000", "name": "indevchan", "version": "1.2.3",
        "state": "active", "disabled": false, "public": true, "published_at": "2012-11-02T22:46:45.992Z",
        "type": "zone-dataset", "os": "smartos",
        "files": [{"sha1": "046c168df2244d3a13985f042a50e479fe56455e", "size": 4, "compression": "none"}],
        "icon": true, "channels": ["dev"],
    });
    assert_eq!(get(&format!("/images/{IN_DEV}")).await.ok(), expected);
    for (uuid, channel) in [(UNACTIVATED, "dev"), (IN_RELEASE, "release")] {
        let image = get(&format!("/images/{uuid}?channel=*")).await.ok();
        let archived: Value = serde_json::from_slice(&fs::read(app.archived(uuid)).unwrap()).unwrap();
        assert_eq!((&image, &image["channels"]), (&archived, &json!([channel])));
    }
    for gone in [IN_NONE, DELETED] {
        get(&format!("/images/{gone}?channel=*")).await.not_found();
    }
    // Size and MD5 in the manifest exclude the line end, and so does the answer to clients.
    for (asset, md5) in [("file", "jH3ZIq1HSU/ALDiOEsAOrA=="), ("icon", "uuxkYbDWnd4bhhrvvjddig==")] {
        let answer = get(&format!("/images/{IN_DEV}/{asset}")).await;
        assert_eq!((answer.status, answer.text()), (200, asset));
        assert_eq!(answer.header("content-md5"), Some(md5));
    }
    let now = files(app.dc.local_dir().as_path());
    for (path, bytes) in files(&left()) {
        assert_eq!(now.get(&path), Some(&bytes), "{}", path.display());
    }
    app.stop().await;
}

async fn what_is_written_afterwards_is_what_4_13_1_reads(_: &TestApp) {
    let app = taken_over().await;
    let target = |uuid: &str, rest: &str| format!("/images/{uuid}{rest}");
    let upload = app.operator().call(Method::PUT, &target(UNACTIVATED, "/file?compression=none"));
    upload.body("bytes").send().await.ok();
    call(&app, Method::POST, &target(UNACTIVATED, "?action=activate")).await.ok();
    let add = app.operator().call(Method::POST, &target(UNACTIVATED, "?action=channel-add"));
    add.json(&json!({"channel": "staging"})).send().await.ok();
    let update = app.operator().call(Method::POST, &target(IN_DEV, "?action=update"));
    update.json(&json!({"description": "taken over", "tags": {"a": 1}})).send().await.ok();
    call(&app, Method::DELETE, &target(IN_RELEASE, "?channel=release")).await.gone();

    let raw =
        |uuid: &str| fs::read_to_string(app.dc.local_dir().join(format!("manifests/{uuid}.raw"))).unwrap();
    for uuid in [UNACTIVATED, IN_DEV] {
        let text = raw(uuid);
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            text,
            serde_json::to_string_pretty(&record).unwrap(),
            "two spaces a level, as 4.13.1 writes it"
        );
        assert_eq!(record["uuid"], uuid);
        let archived = fs::read_to_string(app.archived(uuid)).unwrap();
        let shown = call(&app, Method::GET, &target(uuid, "?channel=*")).await;
        assert_eq!(archived, shown.text());
    }
    let before: Value =
        serde_json::from_slice(&fs::read(left().join(format!("manifests/{IN_DEV}.raw"))).unwrap()).unwrap();
    let mut expected = before.clone();
    expected["description"] = json!("taken over");
    expected["tags"] = json!(["a=1"]);
    expected["tagsObj"] = json!({"a": 1});
    assert_eq!(serde_json::from_str::<Value>(&raw(IN_DEV)).unwrap(), expected);
    let record: Value = serde_json::from_str(&raw(UNACTIVATED)).unwrap();
    assert_eq!(record["channels"], json!(["dev", "staging"]));
    assert_eq!((&record["state"], &record["activated"]), (&json!("active"), &json!(true)));
    assert_eq!(fs::read_to_string(app.file(UNACTIVATED)).unwrap(), "bytes");
    assert!(app.archived(IN_RELEASE).exists() && app.archived(DELETED).exists());
    // Every file name that 4.13.1 would read belongs to an image.
    let names = fs::read_dir(app.dc.local_dir().join("manifests")).unwrap();
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".raw"));
    names.sort();
    assert_eq!(names, [UNACTIVATED, IN_DEV, IN_NONE].map(|uuid| format!("{uuid}.raw")));
    let untouched = PathBuf::from(format!("manifests/{IN_NONE}.raw"));
    assert_eq!(files(app.dc.local_dir().as_path())[&untouched], files(&left())[&untouched]);
    app.stop().await;
}

async fn adm(app: &TestApp, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.arg("adm").arg("-f").arg(app.dc.config_file()).args(words);
    command.kill_on_drop(true);
    within(&words.join(" "), command.output()).await.unwrap()
}

async fn a_dump_of_files_is_loaded_while_the_service_is_down(_: &TestApp) {
    let (app, mut other) = (taken_over().await, configured(settings()).await);
    other.dc.moray().stop().await;
    for number in 0..1200 {
        let manifest = json!({"owner": IN_NONE, "name": format!("n{number}"), "version": "1", "type": "other", "os": "other", "public": true,
            "tags": {"n": number}});
        app.operator().create(&manifest).await.ok();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    let path = file.to_str().unwrap();
    // The command runs while the service runs.
    let output = adm(&app, &["dump", "-o", path]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1204);

    let output = adm(&other, &["load", path]).await;
    assert_eq!(output.status.code(), Some(1), "another process has the files");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("another process uses the directory"),
        "{output:?}"
    );
    other.dc.stop_imgapi().await.unwrap();
    let output = adm(&other, &["load", path]).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    // The image without channels is not valid here, so it is not loaded.
    let refused: Vec<_> = told.lines().filter(|line| line.contains("refused")).collect();
    assert!(
        matches!(refused[..], [line] if line.contains(IN_NONE) && line.ends_with("not valid: channels")),
        "{refused:?}"
    );
    let output = adm(&other, &["load", path]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("1203 unchanged"), "{output:?}");
    let records = |base: PathBuf| -> BTreeMap<PathBuf, Value> {
        let files = files(&base.join("manifests")).into_iter();
        files.map(|(path, bytes)| (path, serde_json::from_slice(&bytes).unwrap())).collect()
    };
    let (mut before, after) = (records(app.dc.local_dir()), records(other.dc.local_dir()));
    before.remove(Path::new(&format!("{IN_NONE}.raw")));
    assert_eq!(after, before);
    other.dc.restart_imgapi().await.unwrap();
    for uuid in [IN_DEV, UNACTIVATED, IN_RELEASE] {
        let target = format!("/images/{uuid}?channel=*");
        let (original, loaded) = (call(&app, Method::GET, &target), call(&other, Method::GET, &target));
        assert_eq!(loaded.await.ok(), original.await.ok());
    }
    app.stop().await;
    other.stop().await;
}
