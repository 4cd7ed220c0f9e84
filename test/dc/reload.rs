// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Changes of the configuration while the service runs. These tests start their own service.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::moray::{Location, MorayServer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::manta::Stage;
use super::support::{Answer, Connection, TestApp, sha1_of, tests, wait_until};

tests! {
    a_change_takes_effect_and_transfers_go_on,
    a_file_may_be_changed_in_any_way,
    what_cannot_be_is_refused_with_a_reason,
    the_api_and_the_metrics_move_to_other_addresses,
    callers_are_known_in_another_way,
    moray_is_another_one_for_new_requests,
    manta_comes_and_goes,
    the_key_of_manta_changes,
    many_changes_leave_nothing_behind,
    two_changes_at_once_come_to_the_second,
    a_change_during_a_stop_is_left_alone,
}

/// A service and its configuration.
struct Changing {
    app: TestApp,
    config: Value,
}

impl Changing {
    async fn start() -> Changing {
        Changing::start_with(|builder| builder).await
    }

    async fn start_with(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> Changing {
        Changing::of(TestApp::start_with(build).await)
    }

    fn of(app: TestApp) -> Changing {
        let config = serde_json::from_slice(&fs::read(app.dc.config_file()).unwrap()).unwrap();
        Changing { app, config }
    }

    fn file(&self) -> &Path {
        self.app.dc.config_file()
    }

    /// Changes the configuration file, and waits until the change is applied.
    async fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let before = self.applied().await;
        change(&mut self.config);
        replace(self.file(), &self.config.to_string());
        self.is_applied(before + 1.0).await;
    }

    /// Writes this text into the file, and waits until it is rejected.
    async fn is_refused(&self, text: &str) -> String {
        let before = self.refused().await;
        fs::write(self.file(), text).unwrap();
        self.tells_of_refusal(before + 1.0).await
    }

    async fn tells_of_refusal(&self, count: f64) -> String {
        wait_until("a refusal", async || (self.refused().await >= count).then_some(())).await;
        assert_eq!(self.gauge("imgapi_config_last_reload_successful").await, 0.0);
        let state = self.app.operator().get("/state").await.ok();
        assert!(state["config"]["lastError"]["time"].is_string(), "{state}");
        state["config"]["lastError"]["message"].as_str().unwrap().to_owned()
    }

    /// Restores the valid configuration.
    async fn restore(&self) {
        replace(self.file(), &self.config.to_string());
        let state = async || self.app.operator().get("/state").await.ok()["config"].clone();
        let is_right = async || state().await["lastError"].is_null().then_some(());
        wait_until("no refusal any more", is_right).await;
        assert_eq!(self.gauge("imgapi_config_last_reload_successful").await, 1.0);
    }

    async fn is_applied(&self, count: f64) {
        wait_until("a change", async || (self.applied().await >= count).then_some(())).await;
    }

    async fn applied(&self) -> f64 {
        self.gauge("result=\"applied\"").await
    }

    async fn refused(&self) -> f64 {
        self.gauge("result=\"refused\"").await
    }

    /// Returns the metric with this name or label.
    async fn gauge(&self, name: &str) -> f64 {
        let metrics = self.app.metrics().await;
        let line = metrics.lines().find(|line| line.starts_with("imgapi_config_") && line.contains(name));
        line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    fn hang_up(&self) {
        let pid = Pid::from_raw(self.app.dc.imgapi_pid().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// Returns the number of open files (`fd`) or threads (`task`) of the process.
    fn entries(&self, of: &str) -> usize {
        let pid = self.app.dc.imgapi_pid().unwrap();
        fs::read_dir(format!("/proc/{pid}/{of}")).unwrap().count()
    }

    async fn stop(self) {
        self.app.stop().await;
    }
}

fn replace(file: &Path, text: &str) {
    let other = file.with_extension("new");
    fs::write(&other, text).unwrap();
    fs::rename(other, file).unwrap();
}

/// A download that is not read, an unfinished upload, and a connection that is kept.
struct Transfers {
    bytes: Vec<u8>,
    head: Answer,
    download: Connection,
    upload: Connection,
    kept: Connection,
}

impl Transfers {
    async fn begin(app: &TestApp) -> Transfers {
        // More bytes than socket buffers hold.
        let bytes = vec![5; 32 << 20];
        let [down, up] = [app.luke().has_image(json!({})).await, app.luke().has_image(json!({})).await];
        app.luke().upload(&down, "compression=none", bytes.clone()).await.ok();
        let mut download = app.connect().await;
        download.send(format!("GET /images/{down}/file HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let head = download.read_head().await;
        let upload = app.half_an_upload(&up, "bytes").await;
        let mut kept = app.connect().await;
        assert_eq!(ping(&mut kept).await.status, 200);
        Transfers { bytes, head, download, upload, kept }
    }

    /// Completes the transfers. Returns the answer to the upload.
    async fn end(&mut self) -> Answer {
        self.upload.send("tes").await;
        let uploaded = self.upload.read_answer().await;
        assert_eq!(uploaded.ok()["files"][0]["sha1"], sha1_of(b"bytes"));
        assert_eq!(sha1_of(&self.download.read_body(&self.head).await), sha1_of(&self.bytes));
        uploaded
    }
}

async fn ping(connection: &mut Connection) -> Answer {
    connection.exchange(&["GET /ping HTTP/1.1", "Host: x"]).await
}

async fn a_change_takes_effect_and_transfers_go_on(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let mut transfers = Transfers::begin(&service.app).await;
    let loaded = service.app.operator().get("/state").await.ok()["config"].clone();
    assert_eq!(loaded["file"], json!(service.file()));
    service
        .change(|config| {
            config["serverName"] = json!("another");
            config["logLevel"] = json!("debug");
            config["instanceUuid"] = json!("11111111-2222-3333-4444-555555555555");
            config["transferIdleSeconds"] = json!(60);
            config["maxConnections"] = json!(500);
            config["imgapiUrlFromDatacenter"] = json!({"east": "http://127.0.0.1:1"});
            config["ufds"]["url"] =
                json!(config["ufds"]["url"].as_str().unwrap().replace("127.0.0.1", "localhost"));
        })
        .await;
    let state = service.app.operator().get("/state").await;
    assert_eq!((state.header("server"), &state.ok()["log"]["level"]), (Some("another"), &json!(20)));
    let again = state.ok()["config"].clone();
    assert!(again["loadedAt"].as_str() > loaded["loadedAt"].as_str() && again["lastError"].is_null());
    assert!(service.app.metrics().await.contains("instance=\"11111111-2222-3333-4444-555555555555\""));
    // A connection that is kept uses the new values.
    assert_eq!(ping(&mut transfers.kept).await.header("server"), Some("another"));
    let uploaded = transfers.end().await;
    assert_ne!(uploaded.header("server"), Some("another"));
    let changed = |record: &&Value| record["msg"] == "the configuration has changed";
    let records = service.app.log();
    let record = records.iter().find(changed).unwrap();
    assert!(record["changed"].as_str().unwrap().contains("imgapiUrlFromDatacenter"), "{record}");
    service.hang_up();
    let debug = async || service.app.log().iter().any(|record| record["level"] == 20).then_some(());
    wait_until("a record at the new level", debug).await;
    let password = service.config["ufds"]["bindPassword"].as_str().unwrap();
    assert!(!fs::read_to_string(service.app.dc.log_file()).unwrap().contains(password));
    // The new directory of accounts is used.
    service.app.luke().has_image(json!({})).await;
    service.stop().await;
}

async fn a_file_may_be_changed_in_any_way(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let file = service.file().to_owned();
    let config = service.config.clone();
    let text = |name: &str| {
        let mut config = config.clone();
        config["serverName"] = json!(name);
        config.to_string()
    };
    let app = &service.app;
    let has_name = async |name: &str| {
        let named = async || (app.operator().get("/ping").await.header("server") == Some(name)).then_some(());
        wait_until(name, named).await;
    };
    fs::write(&file, text("in place")).unwrap();
    has_name("in place").await;
    replace(&file, &text("replaced"));
    has_name("replaced").await;
    // The service waits for a writer that needs a moment.
    let whole = text("slowly");
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fs::write(&file, &whole).unwrap();
    has_name("slowly").await;

    let etc = file.with_file_name("etc");
    let version = |number: u32| -> PathBuf { etc.join(number.to_string()) };
    let swap = |number: u32, name: &str| {
        fs::create_dir_all(version(number)).unwrap();
        fs::write(version(number).join("config"), text(name)).unwrap();
        symlink(number.to_string(), etc.join("data.new")).unwrap();
        fs::rename(etc.join("data.new"), etc.join("data")).unwrap();
    };
    swap(1, "linked");
    fs::remove_file(&file).unwrap();
    symlink("etc/data/config", &file).unwrap();
    has_name("linked").await;
    swap(2, "linked elsewhere");
    has_name("linked elsewhere").await;
    fs::remove_dir_all(&etc).unwrap();
    swap(3, "in a new directory");
    has_name("in a new directory").await;
    fs::remove_file(&file).unwrap();
    fs::write(&file, text("at last")).unwrap();
    service.hang_up();
    has_name("at last").await;
    // A file with the same content changes nothing.
    let applied = service.applied().await;
    fs::write(&file, text("at last")).unwrap();
    service.hang_up();
    service.change(|config| config["serverName"] = json!("end")).await;
    assert_eq!(service.applied().await, applied + 1.0);
    service.stop().await;
}

async fn what_cannot_be_is_refused_with_a_reason(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let mut transfers = Transfers::begin(&service.app).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = service.config.clone();
        config["serverName"] = json!("never");
        change(&mut config);
        config.to_string()
    };
    let port = taken.local_addr().unwrap().port();
    let manta = json!({"url": "http://127.0.0.1:1", "user": "admin", "key": "/nowhere/key"});
    let cases: [(String, &str); 10] = [
        ("{\"port\": ".into(), "is not a JSON object"),
        ("\"hunter2\"".into(), "is not a JSON object: it is another value"),
        (with(&|config| config["port"] = json!("hunter2")), "port "),
        (with(&|config| config["ufds"]["url"] = json!("hunter2")), "ufds.url "),
        (with(&|config| config["port"] = json!(port)), "cannot listen on 127.0.0.1:"),
        (with(&|config| config["metricsPort"] = json!(port)), "cannot listen on 127.0.0.1:"),
        (with(&|config| config["mode"] = json!("private")), "mode cannot be changed without a restart"),
        (with(&|config| config["databaseType"] = json!("local")), "databaseType cannot be changed"),
        (with(&|config| config["localBaseDir"] = json!("/elsewhere")), "localBaseDir cannot be changed"),
        (with(&|config| config["manta"] = manta.clone()), "the key in /nowhere/key cannot be used"),
    ];
    for (text, reason) in &cases {
        let message = service.is_refused(text).await;
        assert!(message.contains(reason) && !message.contains("hunter2"), "{reason}: {message}");
        service.restore().await;
    }
    // A caller that requests a reload is answered at once, every time.
    let refused = service.refused().await;
    fs::remove_file(service.file()).unwrap();
    for more in [1.0, 2.0] {
        service.hang_up();
        assert!(service.tells_of_refusal(refused + more).await.contains("cannot read"));
    }
    service.restore().await;
    assert_ne!(ping(&mut transfers.kept).await.header("server"), Some("never"));
    transfers.end().await;
    let is_told = |record: &Value| {
        let text = record.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        record["level"] == 50 && text.contains("mode cannot be changed without a restart")
    };
    wait_until("the log tells", async || service.app.log().iter().any(is_told).then_some(())).await;
    service.change(|config| config["serverName"] = json!("after all")).await;
    assert_eq!(service.applied().await, 1.0);
    service.stop().await;
}

async fn the_api_and_the_metrics_move_to_other_addresses(_shared: &TestApp) {
    let service = Changing::start().await;
    let mut transfers = Transfers::begin(&service.app).await;
    let mut fresh = service.app.connect().await;
    let [api, metrics] = [free_port().await, free_port().await];
    let mut config = service.config.clone();
    (config["port"], config["metricsPort"]) = (json!(api.port()), json!(metrics.port()));
    replace(service.file(), &config.to_string());
    let mut moved = wait_until("the new address", async || {
        TcpStream::connect(api).await.ok()?;
        Some(Connection::open(api).await)
    })
    .await;
    assert_eq!(ping(&mut moved).await.status, 200);
    let old = service.app.address();
    wait_until("the old address is left", async || TcpStream::connect(old).await.err()).await;
    // Each connection gets one more answer, and is then closed.
    for connection in [&mut fresh, &mut transfers.kept] {
        let answer = ping(connection).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(connection.is_closed().await);
    }
    transfers.end().await;
    let url = format!("http://{metrics}/metrics");
    let get = async || service.app.http.get(&url).send().await.ok()?.text().await.ok();
    let text = wait_until("metrics", get).await;
    assert!(text.contains("imgapi_config_reloads_total{result=\"applied\""), "{text}");
    let old = service.app.dc.metrics_url().unwrap();
    wait_until("no metrics", async || service.app.http.get(&old).send().await.err()).await;

    // The old address is used again, without metrics.
    config = service.config.clone();
    config.as_object_mut().unwrap().remove("adminIp");
    replace(service.file(), &config.to_string());
    let back = async || TcpStream::connect(service.app.address()).await.ok();
    wait_until("the first address", back).await;
    wait_until("no metrics at all", async || service.app.http.get(&url).send().await.err()).await;
    let mut moved = Connection::open(service.app.address()).await;
    assert_eq!(ping(&mut moved).await.status, 200);
    service.stop().await;
}

async fn free_port() -> SocketAddr {
    coal::datacenter::free_port().unwrap().local_addr().unwrap()
}

async fn callers_are_known_in_another_way(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let mut upload =
        service.app.half_an_upload(&service.app.luke().has_image(json!({})).await, "bytes").await;
    service.change(|config| config["authType"] = json!("signature")).await;
    let state = service.app.operator().get("/state").await;
    assert_eq!(state.status, 401);
    assert_eq!(service.app.luke().create(&json!({})).await.status, 401);
    upload.send("tes").await;
    upload.read_answer().await.ok();
    service.change(|config| config["authType"] = json!("none")).await;
    let workers = async || service.app.operator().get("/state").await.ok()["workers"].clone();
    assert!(!workers().await.to_string().contains("auth-keys"));
    service.stop().await;
}

async fn moray_is_another_one_for_new_requests(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let [before, begun] =
        [service.app.luke().has_active_image(json!({})).await, service.app.luke().has_image(json!({})).await];
    let mut upload = service.app.half_an_upload(&begun, "bytes").await;
    let mut kept = service.app.connect().await;
    assert_eq!(ping(&mut kept).await.status, 200);
    let files = service.entries("fd");
    let other = MorayServer::bind("127.0.0.1:0".parse().unwrap(), Location::Memory).await.unwrap();
    let moray = service.config["moray"].clone();
    service.change(|config| config["moray"]["port"] = json!(other.address().port())).await;
    assert_eq!(service.app.operator().get_image(&before).await.status, 404);
    assert_eq!(service.app.operator().list("state=all").await, Vec::<Value>::new());
    let elsewhere = service.app.luke().has_active_image(json!({})).await;
    upload.send("tes").await;
    upload.read_answer().await.ok();
    assert_eq!(service.app.stored(&begun).await.unwrap().0["files"][0]["sha1"], sha1_of(b"bytes"));
    service.change(|config| config["moray"] = moray.clone()).await;
    assert_eq!(service.app.operator().get_image(&before).await.status, 200);
    assert_eq!(service.app.operator().get_image(&elsewhere).await.status, 404);
    assert_eq!(service.app.operator().get_image(&begun).await.ok()["files"][0]["sha1"], sha1_of(b"bytes"));
    // The other Moray is no longer needed.
    wait_until("it is left", async || (service.entries("fd") <= files + 2).then_some(())).await;
    other.stop().await;
    service.stop().await;
}

async fn manta_comes_and_goes(_shared: &TestApp) {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let mut service = Changing::of(stage.app);
    let luke = service.app.luke();
    let first = luke.has_image(json!({})).await;
    let mut upload = service.app.half_an_upload(&first, "bytes").await;
    let types = service.config["storageTypes"].clone();
    let workers = async |app: &TestApp| app.operator().get("/state").await.ok()["workers"].to_string();
    assert!(workers(&service.app).await.contains("\"archive\""));
    service.change(|config| config["storageTypes"] = json!(["local"])).await;
    assert!(!workers(&service.app).await.contains("\"archive\""));
    let second = service.app.luke().has_image_with_file(json!({}), b"here").await;
    upload.send("tes").await;
    upload.read_answer().await.ok();
    service.change(|config| config["storageTypes"] = types).await;
    assert!(workers(&service.app).await.contains("\"archive\""));
    for (uuid, stor, bytes) in [(&first, "manta", "bytes"), (&second, "local", "here")] {
        assert_eq!(service.app.stored(uuid).await.unwrap().0["files"][0]["stor"], stor);
        assert_eq!(service.app.operator().download(uuid).await.text(), bytes);
    }
    service.stop().await;
}

async fn the_key_of_manta_changes(_shared: &TestApp) {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let service = Changing::of(stage.app);
    let (key, right) =
        (service.app.dc.key_file("admin"), fs::read(service.app.dc.key_file("admin")).unwrap());
    let wrong = include_bytes!("../../crates/http-signature/tests/data/keys/ed25519");
    let begun = service.app.luke().has_image(json!({})).await;
    let mut upload = service.app.half_an_upload(&begun, "bytes").await;
    let is_used = async |count: usize| {
        let of_key = |record: &&Value| {
            record["msg"].as_str().is_some_and(|text| text.starts_with("manta.key is another"))
        };
        let told = async || (service.app.log().iter().filter(of_key).count() >= count).then_some(());
        wait_until("another key", told).await;
    };
    // The key is written in place, as the config-agent does.
    fs::write(&key, wrong).unwrap();
    is_used(1).await;
    let other = service.app.luke().has_image(json!({})).await;
    assert_eq!(service.app.luke().upload(&other, "compression=none", "x").await.status, 503);
    fs::write(&key, &right).unwrap();
    is_used(2).await;
    service.app.luke().upload(&other, "compression=none", "x").await.ok();
    upload.send("tes").await;
    upload.read_answer().await.ok();
    // If the file contains no key, the former key stays in use.
    let refused = service.refused().await;
    fs::write(&key, "no key").unwrap();
    assert!(service.tells_of_refusal(refused + 1.0).await.contains("cannot be used"));
    service.app.luke().has_image_with_file(json!({}), b"y").await;
    fs::write(&key, &right).unwrap();
    service.restore().await;
    service.stop().await;
}

async fn many_changes_leave_nothing_behind(_shared: &TestApp) {
    let mut service = Changing::start().await;
    let mut transfers = Transfers::begin(&service.app).await;
    service.change(|config| config["moray"]["connectTimeout"] = json!(1999)).await;
    let (files, threads) = (service.entries("fd"), service.entries("task"));
    let url = service.config["ufds"]["url"].as_str().unwrap().to_owned();
    for round in 0..200 {
        let before = service.applied().await;
        service.config["serverName"] = json!(format!("round {round}"));
        if round % 4 == 0 {
            service.config["moray"]["connectTimeout"] = json!(2000 + round);
            let host = if round % 8 == 0 { "localhost" } else { "127.0.0.1" };
            service.config["ufds"]["url"] = json!(url.replace("127.0.0.1", host));
            service.config["authType"] = json!(if round % 8 == 0 { "signature" } else { "none" });
        }
        replace(service.file(), &service.config.to_string());
        service.hang_up();
        service.is_applied(before + 1.0).await;
    }
    assert_eq!(service.applied().await, 201.0);
    wait_until("few files", async || (service.entries("fd") <= files + 4).then_some(())).await;
    wait_until("few threads", async || (service.entries("task") <= threads + 8).then_some(())).await;
    transfers.end().await;
    service.stop().await;
}

async fn two_changes_at_once_come_to_the_second(_shared: &TestApp) {
    let service = Changing::start().await;
    let mut config = service.config.clone();
    for round in 0..5 {
        for name in ["first", "second"] {
            config["serverName"] = json!(format!("{name} {round}"));
            replace(service.file(), &config.to_string());
            service.hang_up();
        }
        let expected = format!("second {round}");
        let named = async || {
            let answer = service.app.operator().get("/ping").await;
            (answer.header("server") == Some(expected.as_str())).then_some(())
        };
        wait_until("the second", named).await;
    }
    assert_eq!(service.refused().await, 0.0);
    service.stop().await;
}

async fn a_change_during_a_stop_is_left_alone(_shared: &TestApp) {
    let service = Changing::start().await;
    let app = &service.app;
    let uuid = app.luke().has_image(json!({})).await;
    let mut upload = app.half_an_upload(&uuid, "bytes").await;
    let transfers = async {
        wait_until("nobody is let in", async || TcpStream::connect(app.address()).await.err()).await;
        let mut config = service.config.clone();
        (config["port"], config["serverName"]) = (json!(free_port().await.port()), json!("never"));
        replace(service.file(), &config.to_string());
        service.hang_up();
        upload.send("tes").await;
        let uploaded = upload.read_answer().await;
        uploaded.ok();
        assert_ne!(uploaded.header("server"), Some("never"));
    };
    let (status, ()) = tokio::join!(app.dc.stop_imgapi(), transfers);
    assert!(status.unwrap().success(), "{status:?}");
    assert!(!app.log().iter().any(|record| record["msg"] == "the configuration has changed"));
    service.app.end().await;
}
