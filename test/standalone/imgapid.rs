// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The small image server `imgapid` of github.com/trondn/imgapi: its command line, its configuration, the commands of its README, and
//! its data directory. `test/data/takeover/imgapid` was written by that program, at its commit 3131160.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::support::{TestApp, sha1_of, tests, wait_until, within};

tests! {
    the_commands_of_its_readme_work_as_written,
    its_images_are_served_unchanged_and_its_files_stay,
    what_was_taken_over_and_deleted_does_not_come_back,
    an_image_that_cannot_be_taken_over_stays_where_it_is,
    a_start_goes_on_where_a_killed_one_stopped,
    others_do_not_change_anything,
}

const ACTIVE: &str = "d7006e80-747a-470d-8c09-11c0a4d01a20";
const DRAFT: &str = "50d07dba-fe06-4eee-8f10-7adae5518290";
const DISABLED: &str = "3ddbb678-a019-4a12-a1f8-11305ca66871";
/// It was disabled and enabled again, after which its state is one that no other server knows.
const ENABLED: &str = "29d54250-d643-4f53-b9da-62507fec6478";
/// It has a file and is not activated.
const FILED: &str = "9feeaf92-8d62-4b88-b980-dfaac85efc5b";
/// Its file is compressed by bzip2, and called `image.gz` like all others.
const BZIP2: &str = "e081761c-3fc9-4911-abb2-beaa9f7213cd";
const ALL: [&str; 6] = [ACTIVE, DRAFT, DISABLED, ENABLED, FILED, BZIP2];

/// A server that was started as `imgapid` is.
struct Server {
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// A server whose data directory is a copy of the one that `imgapid` has written, or empty. It is not started yet.
    fn new(has_images: bool) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let server = Server {
            directory,
            port: coal::datacenter::free_port().unwrap().local_addr().unwrap().port(),
            process: None,
        };
        fs::create_dir(server.data()).unwrap();
        if has_images {
            let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("test/data/takeover/imgapid/files");
            for (path, bytes) in files(&written) {
                let path = server.data().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        let config = json!({
            "datadir": server.data(), "port": server.port, "host": "imgadmsrv",
            "userdb": [{"name": "admin", "password": "secret"}],
        });
        fs::write(server.directory.path().join("config.json"), config.to_string()).unwrap();
        server
    }

    async fn started(has_images: bool) -> Server {
        let mut server = Server::new(has_images);
        server.start().await;
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    async fn start(&mut self) {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
        command.args(["-s", "-c", "config.json"]).current_dir(self.directory.path());
        command.env_remove("IMGAPI_LOCAL_BASE_DIR").stdout(log).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
        let ping = format!("{}/ping", self.url());
        wait_until("the server answers", async || reqwest::get(&ping).await.ok()).await;
    }

    /// Ends the server, by SIGTERM or SIGKILL.
    async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.id().unwrap().to_string();
        assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
        assert!(within("the end of the server", process.wait()).await.unwrap().success());
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs curl with these arguments, in which URL stands for the server, and returns the status and the body.
    async fn curl(&self, arguments: &[&str]) -> (u16, String) {
        let arguments = arguments.iter().map(|argument| argument.replace("URL", &self.url()));
        let curl = Command::new("curl").args(["-sS", "-w", "%{stderr}%{http_code}"]).args(arguments).output();
        let output = within("curl", curl).await.unwrap();
        let status = String::from_utf8(output.stderr).unwrap();
        (status.parse().unwrap_or_else(|_| panic!("{status}")), String::from_utf8(output.stdout).unwrap())
    }

    /// Returns what the user `admin` gets.
    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.curl(&["-u", "admin:secret", &format!("URL{path}")]).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn uuids(&self) -> Vec<String> {
        let list = self.get("/images?state=all").await;
        let uuids = list.as_array().unwrap().iter().map(|image| image["uuid"].as_str().unwrap().to_owned());
        let mut uuids: Vec<_> = uuids.collect();
        uuids.sort();
        uuids
    }
}

fn sorted(uuids: &[&str]) -> Vec<String> {
    let mut uuids: Vec<_> = uuids.iter().map(|uuid| (*uuid).to_owned()).collect();
    uuids.sort();
    uuids
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

async fn the_commands_of_its_readme_work_as_written(_: &TestApp) {
    let mut server = Server::started(false).await;
    let pong = server.get("/ping").await;
    assert_eq!((&pong["ping"], &pong["imgapi"]), (&json!("pong"), &json!(true)));

    let manifest = r#"
        {
           "name": "couchbase-server",
           "version": "4.5.0-snapshot",
           "description": "Snapshot of Couchbase Server 4.5.0 Community Edition",
           "type": "zone-dataset",
           "os": "smartos",
           "requirements": {
             "networks": [
               {
                 "name": "net0",
                 "description": "public"
               }
             ]
           }
        }"#;
    let admin = ["-u", "admin:secret"];
    let create = ["-X", "POST", "--data-binary", manifest, "URL/images"];
    let (status, created) = server.curl(&[&admin[..], &create].concat()).await;
    assert_eq!(status, 200, "{created}");
    let created: Value = serde_json::from_str(&created).unwrap();
    let expected = json!({
        "v": 2, "name": "couchbase-server", "version": "4.5.0-snapshot", "type": "zone-dataset", "os": "smartos",
        "description": "Snapshot of Couchbase Server 4.5.0 Community Edition", "disabled": false, "public": false,
        "state": "unactivated", "requirements": {"networks": [{"name": "net0", "description": "public"}]},
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(created[member], *value, "{member}");
    }
    let uuid = created["uuid"].as_str().unwrap();

    let file = server.directory.path().join("image.gz");
    fs::write(&file, "compressed").unwrap();
    let to = format!("URL/images/{uuid}/file?sha1={};compression=gzip", sha1_of(b"compressed"));
    let upload = ["--upload-file", file.to_str().unwrap(), "-u", "admin:secret", &to];
    let (status, filed) = server.curl(&upload).await;
    assert_eq!(status, 200, "{filed}");
    let filed: Value = serde_json::from_str(&filed).unwrap();
    let entry = &filed["files"][0];
    assert_eq!((&entry["compression"], &entry["size"]), (&json!("gzip"), &json!(10)));
    assert_eq!(entry["sha1"], sha1_of(b"compressed"));

    let activate = format!("URL/images/{uuid}?action=activate");
    let (status, active) = server.curl(&["-X", "POST", "-u", "admin:secret", &activate]).await;
    assert_eq!(status, 200, "{active}");
    let active: Value = serde_json::from_str(&active).unwrap();
    assert_eq!(active["state"], "active");

    // Its icons are sent by POST.
    let icon = format!("URL/images/{uuid}/icon");
    let icon = ["-X", "POST", "-H", "Content-Type: image/gif", "--data-binary", "GIF89a", &icon];
    let (status, body) = server.curl(&[&admin[..], &icon].concat()).await;
    assert_eq!(status, 200, "{body}");

    // Everybody reads, and only users change.
    let (_, listed) = server.curl(&["URL/images"]).await;
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()[0]["uuid"], uuid);
    assert_eq!(server.get(&format!("/images/{uuid}")).await["icon"], true);
    assert_eq!(server.curl(&[&format!("URL/images/{uuid}/file")]).await, (200, "compressed".into()));
    assert_eq!(server.curl(&create).await.0, 401);
    assert_eq!(server.curl(&[&["-u", "admin:Secret"], &create[..]].concat()).await.0, 401);
    let delete = format!("URL/images/{uuid}");
    assert_eq!(server.curl(&["-X", "DELETE", "-u", "admin:secret", &delete]).await.0, 204);
    assert_eq!(server.uuids().await, [""; 0]);

    let log = server.log();
    assert!(log.contains("the configuration may be wrong") && log.contains("has plain passwords"), "{log}");
    assert!(!log.contains("secret\""), "{log}");
    server.stop().await;
}

async fn its_images_are_served_unchanged_and_its_files_stay(_: &TestApp) {
    let mut server = Server::new(true);
    // Large sizes are written like this.
    let manifest = server.data().join(ACTIVE).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("\"size\": 25", "\"size\": 2.5e+01");
    fs::write(&manifest, text).unwrap();
    let before = files(&server.data());
    server.start().await;
    assert_eq!(server.uuids().await, sorted(&ALL));
    let (_, listed) = server.curl(&["URL/images"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut active: Vec<_> =
        listed.as_array().unwrap().iter().map(|image| image["uuid"].as_str().unwrap().to_owned()).collect();
    active.sort();
    assert_eq!(active, sorted(&[ACTIVE, ENABLED, BZIP2]));
    for (uuid, state) in
        [(ACTIVE, "active"), (DRAFT, "unactivated"), (DISABLED, "disabled"), (ENABLED, "active")]
    {
        let image = server.get(&format!("/images/{uuid}")).await;
        assert_eq!(
            (&image["state"], image["owner"].as_str()),
            (&json!(state), Some("00000000-0000-0000-0000-000000000000"))
        );
        assert_eq!(image["published_at"].is_string(), state != "unactivated", "{image}");
        let written = &before[&Path::new(uuid).join("manifest.json")];
        let written: Value = serde_json::from_slice(written).unwrap();
        for member in
            ["name", "version", "description", "type", "os", "requirements", "public", "disabled", "v"]
        {
            assert_eq!(image[member], written[member], "{uuid} {member}");
        }
    }
    for uuid in [ACTIVE, DISABLED, ENABLED, FILED, BZIP2] {
        let image = server.get(&format!("/images/{uuid}")).await;
        let path = server.directory.path().join("downloaded");
        let url = format!("URL/images/{uuid}/file");
        let (status, _) = server.curl(&["-u", "admin:secret", "-o", path.to_str().unwrap(), &url]).await;
        let bytes = fs::read(&path).unwrap();
        assert_eq!((status, &bytes), (200, &before[&Path::new(uuid).join("image.gz")]));
        assert_eq!(
            (image["files"][0]["sha1"].as_str(), image["files"][0]["size"].as_u64()),
            (Some(&*sha1_of(&bytes)), Some(bytes.len() as u64))
        );
    }
    assert_eq!(server.get(&format!("/images/{BZIP2}")).await["files"][0]["compression"], "bzip2");
    assert_eq!(server.curl(&[&format!("URL/images/{ACTIVE}/icon")]).await, (200, "GIF89a".into()));
    server.stop().await;
    // Everything is as it was, one directory further down.
    assert_eq!(files(&server.data().join("imgapid")), before);
}

async fn what_was_taken_over_and_deleted_does_not_come_back(_: &TestApp) {
    let mut server = Server::started(true).await;
    let delete = format!("URL/images/{ACTIVE}");
    assert_eq!(server.curl(&["-X", "DELETE", "-u", "admin:secret", &delete]).await.0, 204);
    server.stop().await;
    server.start().await;
    assert_eq!(server.uuids().await, sorted(&[DRAFT, DISABLED, ENABLED, FILED, BZIP2]));
    server.stop().await;
}

async fn an_image_that_cannot_be_taken_over_stays_where_it_is(_: &TestApp) {
    let mut server = Server::new(true);
    let data = server.data();
    let file = |uuid: &str, name: &str| data.join(uuid).join(name);
    fs::write(file(ACTIVE, "image.gz"), "other bytes").unwrap();
    fs::write(file(DRAFT, "manifest.json"), "{").unwrap();
    fs::remove_file(file(DISABLED, "image.gz")).unwrap();
    fs::remove_file(file(ENABLED, "image.gz")).unwrap();
    assert!(Command::new("mkfifo").arg(file(ENABLED, "image.gz")).status().await.unwrap().success());
    server.start().await;
    assert_eq!(server.uuids().await, sorted(&[FILED, BZIP2]));
    let log = server.log();
    for reason in ["unlike the manifest", "not a JSON object", "is active and has no file", "is a FIFO"] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    // When it is repaired, the next start takes it over.
    server.stop().await;
    for uuid in [ACTIVE, DRAFT, DISABLED, ENABLED] {
        assert!(data.join(uuid).is_dir(), "{uuid}");
    }
    fs::remove_file(file(ENABLED, "image.gz")).unwrap();
    fs::copy(data.join("imgapid").join(FILED).join("manifest.json"), file(DRAFT, "manifest.json")).unwrap();
    for uuid in [ACTIVE, DISABLED, ENABLED] {
        fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("test/data/takeover/imgapid/files")
                .join(uuid)
                .join("image.gz"),
            file(uuid, "image.gz"),
        )
        .unwrap();
    }
    server.start().await;
    assert_eq!(server.uuids().await, sorted(&[ACTIVE, DISABLED, ENABLED, FILED, BZIP2]));
    assert!(server.log().contains("invalid manifest: uuid"), "it is of another image: {}", server.log());
    server.stop().await;
}

async fn a_start_goes_on_where_a_killed_one_stopped(_: &TestApp) {
    let mut server = Server::started(true).await;
    server.stop().await;
    // The process died after the image was stored, and before its directory was moved.
    let data = server.data();
    fs::rename(data.join("imgapid").join(ACTIVE), data.join(ACTIVE)).unwrap();
    server.start().await;
    assert_eq!(server.uuids().await, sorted(&ALL));
    assert_eq!(server.curl(&[&format!("URL/images/{ACTIVE}/icon")]).await, (200, "GIF89a".into()));
    server.stop().await;
    assert!(!data.join(ACTIVE).exists() && data.join("imgapid").join(ACTIVE).exists());
}

async fn others_do_not_change_anything(_: &TestApp) {
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
        command.args(arguments).env("HOME", "/nonexistent").kill_on_drop(true);
        let output = within("imgapi", command.output()).await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [&["-c", "config.json"][..], &["-s", "serve"], &["-s", "extra"], &[]] {
        let (status, told) = run(arguments).await;
        assert!(status == Some(2) && told.contains("Usage"), "{arguments:?}: {status:?} {told}");
    }
    let (status, told) = run(&["-s"]).await;
    assert_eq!(status, Some(1));
    assert!(told.contains("/nonexistent/.imgapi.json"), "{told}");
}
