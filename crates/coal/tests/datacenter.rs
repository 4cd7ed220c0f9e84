// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Supervision of processes, with a stand-in for `imgapi` that answers every request with 200.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use coal::cnapi::TaskFault;
use coal::datacenter::{DatacenterError, MantaMode, Ports};
use coal::rest::RestFault;
use coal::vmapi::VmState;
use coal::{Cloud, Datacenter};
use serde_json::{Value, json};

/// The script that starts the stand-in below. Tests do not write it themselves: a file that was open for writing when another
/// thread forked cannot be executed.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in.sh");

/// Returns the command line of the stand-in for `imgapi`.
fn stand_in() -> Vec<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    vec!["/usr/bin/env".into(), format!("STAND_IN={}", tests.display()).into(), SCRIPT.into()]
}

#[test]
#[ignore = "what the other tests start in place of imgapi"]
fn serve_as_stand_in() {
    let Ok(config) = std::env::var("STAND_IN_CONFIG") else { return };
    let config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let port = config["port"].as_u64().unwrap().try_into().unwrap();
    for stream in TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let mut lines = BufReader::new(&stream).lines();
        let request = lines.next().unwrap().unwrap();
        assert!(lines.any(|line| line.unwrap().is_empty()));
        if request.starts_with("GET /quit ") {
            println!("quitting");
            std::process::exit(4);
        }
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]";
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("took too long")
}

async fn status(url: &str) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).send().await.ok().map(|response| response.status().as_u16())
}

#[tokio::test]
async fn imgapi_is_started_killed_and_restarted() {
    let builder = Datacenter::builder().name("east").imgapi_command(stand_in());
    let mut datacenter = within(builder.start()).await.unwrap();
    let url = datacenter.imgapi_url().unwrap() + "/ping";
    assert_eq!(status(&url).await, Some(200));
    let first = datacenter.imgapi_pid().unwrap();
    within(datacenter.kill_imgapi()).await;
    assert_eq!(datacenter.imgapi_pid(), None);
    assert_eq!(status(&url).await, None);
    within(datacenter.restart_imgapi()).await.unwrap();
    assert_ne!(datacenter.imgapi_pid().unwrap(), first);
    assert_eq!(status(&url).await, Some(200));
    let data = datacenter.data_dir().to_owned();
    assert!(data.exists());
    within(datacenter.stop()).await;
    assert_eq!(status(&url).await, None);
    assert!(!data.exists(), "a temporary directory is removed");
}

#[tokio::test]
async fn the_config_is_complete_and_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("kept");
    let datacenter = within(Datacenter::builder().data_dir(&data).start()).await.unwrap();
    let mode = std::fs::metadata(datacenter.config_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config: Value = serde_json::from_slice(&std::fs::read(datacenter.config_file()).unwrap()).unwrap();
    assert_eq!(config["mode"], "dc");
    assert_eq!(config["datacenterName"], "coal");
    assert_eq!(config["adminUuid"], "930896af-bf8c-48d4-885c-6573a94b1853");
    assert_eq!(config["moray"]["port"], datacenter.moray().address().port());
    let ready = serde_json::to_value(datacenter.ready()).unwrap();
    assert_eq!(ready["ufds"], config["ufds"]["url"]);
    assert_eq!(ready["accounts"].as_array().unwrap().len(), 5);
    assert!(ready.get("imgapi").is_none(), "what does not run is left out");
    within(datacenter.stop()).await;
    assert!(data.join("moray.sqlite").exists(), "a chosen directory is kept");
}

#[tokio::test]
async fn a_manta_is_in_the_config_and_in_the_ready_file() {
    for (mode, remote) in [(MantaMode::Local, false), (MantaMode::Remote, true)] {
        let datacenter = within(Datacenter::builder().manta(mode).start()).await.unwrap();
        let text = std::fs::read(datacenter.config_file()).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        let ready = serde_json::to_value(datacenter.ready()).unwrap();
        let manta = &config["manta"];
        assert_eq!(manta["url"], ready["manta"]);
        assert_eq!((manta["user"].as_str(), manta["remote"].as_bool()), (Some("admin"), Some(remote)));
        assert_eq!(manta["key"], datacenter.key_file("admin").to_str().unwrap());
        assert_eq!(config["storageTypes"], serde_json::json!(["manta", "local"]));
        within(datacenter.stop()).await;
    }
    let without = within(Datacenter::builder().start()).await.unwrap();
    assert!(without.manta().is_none() && without.ready().manta.is_none());
    let config: Value = serde_json::from_slice(&std::fs::read(without.config_file()).unwrap()).unwrap();
    assert!(config.get("manta").is_none(), "{config}");
}

#[tokio::test]
async fn the_datacenters_of_a_cloud_know_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let template = Datacenter::builder().imgapi_command(stand_in()).services(true).data_dir(directory.path());
    let names = ["east", "west", "south"].map(str::to_owned);
    let cloud = within(Cloud::builder(template, names.clone()).start()).await.unwrap();
    let config = |datacenter: &Datacenter| -> Value {
        serde_json::from_slice(&std::fs::read(datacenter.config_file()).unwrap()).unwrap()
    };
    let mut ports = Vec::new();
    for (datacenter, name) in cloud.datacenters().iter().zip(&names) {
        let config = config(datacenter);
        assert_eq!((datacenter.name(), &config["datacenterName"]), (name.as_str(), &json!(name)));
        assert_eq!(datacenter.data_dir(), directory.path().join(name));
        let others = cloud.datacenters().iter().filter(|other| other.name() != name);
        for other in others {
            assert_eq!(config["imgapiUrlFromDatacenter"][other.name()], json!(other.imgapi_url()));
        }
        assert_eq!(datacenter.accounts(), cloud.datacenters()[0].accounts());
        assert_eq!(config["wfapi"]["url"], datacenter.services().unwrap().workflow().url());
        assert_eq!(status(&(datacenter.imgapi_url().unwrap() + "/ping")).await, Some(200));
        ports.push(datacenter.imgapi_address().unwrap().port());
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
    let urls: Vec<_> =
        cloud.datacenters().iter().map(|datacenter| datacenter.imgapi_url().unwrap()).collect();
    within(cloud.stop()).await;
    for url in urls {
        assert_eq!(status(&(url + "/ping")).await, None);
    }
}

#[tokio::test]
async fn people_switch_the_services_of_jobs_by_the_control() {
    let datacenter = within(Datacenter::builder().services(true).start()).await.unwrap();
    let services = datacenter.services().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let control = async |method: &str, path: &str, body: Value| {
        let request = client.request(method.parse().unwrap(), datacenter.control_url() + path);
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let post = async |path: &str, body: Value| control("POST", path, body).await.0;

    assert_eq!(post("/cnapi/tasks/faults", json!({"fault": "never_end", "times": 2})).await, 204);
    let (_, listed) = control("GET", "/cnapi/tasks/faults", json!(null)).await;
    assert_eq!(listed, json!([{"fault": "never_end", "times": 2}]).to_string());
    assert_eq!(
        services.cnapi().task_faults().list(),
        [coal::cnapi::TaskFaultRule::new(TaskFault::NeverEnd).times(2)]
    );
    assert_eq!(post("/cnapi/tasks/faults", json!({"fault": "never_end", "time": 2})).await, 422);
    assert_eq!(control("DELETE", "/cnapi/tasks/faults", json!(null)).await.0, 204);
    assert!(services.cnapi().task_faults().list().is_empty());

    let ping = services.workflow().url() + "/ping";
    for (service, faults) in [
        ("vmapi", services.vmapi().faults()),
        ("cnapi", services.cnapi().faults()),
        ("workflow", services.workflow().faults()),
    ] {
        let rule = json!({"fault": "internal_error", "method": "GET", "path": "/ping"});
        assert_eq!(post(&format!("/{service}/faults"), rule).await, 204);
        assert_eq!(
            faults.list(),
            [coal::rest::RestFaultRule::new(RestFault::InternalError).method("GET").path("/ping")]
        );
    }
    assert_eq!(status(&ping).await, Some(500));
    assert_eq!(control("DELETE", "/workflow/faults", json!(null)).await.0, 204);
    assert_eq!(post("/workflow/stop", json!(null)).await, 204);
    assert_eq!(status(&ping).await, None);
    assert_eq!(post("/workflow/start", json!(null)).await, 204);
    assert_eq!(status(&ping).await, Some(200));
    for (what, expected) in [("pause", 204), ("resume", 204), ("restart", 204), ("rest", 404)] {
        assert_eq!(post(&format!("/workflow/runner/{what}"), json!(null)).await, expected, "{what}");
    }

    let vm = services.fleet().vm_called("smartos").unwrap();
    assert_eq!(control("PUT", &format!("/vms/{}", vm.uuid), json!({"state": "running"})).await.0, 204);
    assert_eq!(services.fleet().vm_called("smartos").unwrap().state, VmState::Running);
    assert_eq!(control("PUT", &format!("/vms/{}", vm.uuid), json!({"state": "asleep"})).await.0, 422);
    let server = vm.server_uuid.unwrap();
    assert_eq!(control("PUT", &format!("/servers/{server}"), json!({"current_platform": "x"})).await.0, 204);
    assert_eq!(services.fleet().server(&server).unwrap().current_platform, "x");
    within(datacenter.stop()).await;
}

#[tokio::test]
async fn an_imgapi_that_ends_is_told_with_its_log() {
    let broken = ["/bin/sh", "-c", "echo the reason >&2; exit 3"].map(PathBuf::from).to_vec();
    let error = within(Datacenter::builder().imgapi_command(broken).start()).await.unwrap_err();
    assert!(matches!(error, DatacenterError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("the reason"), "{error}");
    let missing = Datacenter::builder().imgapi("/nowhere/imgapi");
    let error = within(missing.start()).await.unwrap_err();
    assert!(matches!(error, DatacenterError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_base_port_that_is_taken_is_an_error() {
    let taken = within(Datacenter::builder().start()).await.unwrap();
    let base = taken.moray().address().port() - 2;
    let error = within(Datacenter::builder().ports(Ports::Base(base)).start()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot start Moray on 127.0.0.1:"), "{error}");
}

/// Waits until a line of the output starts with `start`.
fn read_until(output: &mut impl BufRead, start: &str) {
    let mut line = String::new();
    while !line.trim_start().starts_with(start) {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "coal ended before \"{start}\"");
    }
}

fn coal(ready_file: &Path) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_coal"))
        .env("STAND_IN", std::env::current_exe().unwrap())
        .args(["--direct-config", "--imgapi", SCRIPT, "--data"])
        .arg(ready_file.with_file_name("data"))
        .arg("--ready-file")
        .arg(ready_file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn imgapi_url(ready_file: &Path) -> String {
    let ready: Value = serde_json::from_slice(&std::fs::read(ready_file).unwrap()).unwrap();
    ready["datacenters"][0]["imgapi"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_program_ends_on_sigterm_and_takes_imgapi_along() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready.json");
    let mut coal = coal(&ready_file);
    read_until(&mut BufReader::new(coal.stdout.as_mut().unwrap()), "Stop it");
    let url = imgapi_url(&ready_file);
    assert_eq!(status(&url).await, Some(200));
    assert!(Command::new("kill").arg(coal.id().to_string()).status().unwrap().success());
    assert_eq!(coal.wait().unwrap().code(), Some(0));
    assert_eq!(status(&url).await, None);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn imgapi_does_not_outlive_a_killed_coal() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready.json");
    let mut coal = coal(&ready_file);
    read_until(&mut BufReader::new(coal.stdout.as_mut().unwrap()), "Stop it");
    let url = imgapi_url(&ready_file);
    coal.kill().unwrap();
    coal.wait().unwrap();
    within(async {
        while status(&url).await.is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_program_says_why_imgapi_ended() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready.json");
    let mut coal = coal(&ready_file);
    read_until(&mut BufReader::new(coal.stdout.as_mut().unwrap()), "Stop it");
    let _ = status(&(imgapi_url(&ready_file) + "/quit")).await;
    let output = coal.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("imgapi ended") && message.contains("quitting"), "{message}");
}
