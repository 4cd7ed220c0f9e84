// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The `imgapi` command.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use super::support::{TestApp, merged, tests, within};

tests! {
    the_whole_configuration_is_json_with_defaults,
    one_value_is_plain_text,
    what_is_not_there_prints_nothing,
    a_configuration_that_cannot_be_used_is_refused_by_key,
    the_workers_of_a_running_service_are_listed,
    a_mistake_in_the_command_is_another_status,
    a_port_that_is_taken_is_a_failure,
}

async fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    within(&words.join(" "), command.args(words).kill_on_drop(true).output()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn config(app: &TestApp) -> Value {
    serde_json::from_slice(&std::fs::read(app.dc.config_file()).unwrap()).unwrap()
}

pub(super) async fn print(file: &Path, key: &str) -> Output {
    run(&["config", "-f", file.to_str().unwrap(), key]).await
}

async fn the_whole_configuration_is_json_with_defaults(app: &TestApp) {
    let output = run(&["config", "-f", app.dc.config_file().to_str().unwrap()]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).starts_with("{\n    \"") && output.stdout.ends_with(b"\n}\n"));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (name, value) in config(app).as_object().unwrap() {
        assert_eq!(&printed[name], value, "{name}");
    }
    assert_eq!(printed["shutdownGraceSeconds"], 60);
    assert_eq!(printed["serverName"], concat!("imgapi/", env!("CARGO_PKG_VERSION")));
}

async fn one_value_is_plain_text(app: &TestApp) {
    let config = config(app);
    for (key, expected) in [
        ("datacenterName", "coal".to_owned()),
        ("port", config["port"].to_string()),
        ("moray.host", "127.0.0.1".to_owned()),
        ("ufds.bindDN", "cn=root".to_owned()),
        ("storageTypes", "[\n    \"local\"\n]".to_owned()),
    ] {
        let output = print(app.dc.config_file(), key).await;
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), format!("{expected}\n").as_str()),
            "{key}"
        );
    }
}

async fn what_is_not_there_prints_nothing(app: &TestApp) {
    for key in ["nothing", "moray.nothing", "moray.host.nothing", "", "."] {
        let output = print(app.dc.config_file(), key).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{key}");
        assert!(!output.stderr.is_empty());
    }
    let output = print(Path::new("/nowhere/imgapi.json"), "port").await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("/nowhere/imgapi.json"));
}

async fn a_configuration_that_cannot_be_used_is_refused_by_key(app: &TestApp) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    std::fs::write(&file, "{").unwrap();
    assert_eq!(print(&file, "port").await.status.code(), Some(1));
    for (changes, key) in [
        (json!({"moray": null}), "moray.host"),
        (json!({"datacenterName": ""}), "datacenterName"),
        (json!({"ufds": {"url": "http://x", "bindDN": "a", "bindPassword": "hushhush"}}), "ufds.url"),
        (json!({"mode": "dcc"}), "mode"),
        (json!({"port": 65_536}), "port"),
        (json!({"logLevel": "loud"}), "logLevel"),
    ] {
        std::fs::write(&file, merged(config(app), changes).to_string()).unwrap();
        for words in [["serve", "-f"], ["config", "-f"]] {
            let output = run(&[words[0], words[1], file.to_str().unwrap()]).await;
            let message = text(&output.stderr);
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{key}");
            assert!(message.contains(key) && !message.contains("hushhush"), "{message}");
        }
    }
}

async fn the_workers_of_a_running_service_are_listed(app: &TestApp) {
    let file = app.dc.config_file().to_str().unwrap();
    let output = run(&["adm", "-f", file, "workers"]).await;
    assert!(output.status.success(), "{output:?}");
    let table = text(&output.stdout);
    assert!(table.starts_with("NAME  ") && table.lines().any(|line| line.starts_with("sweep ")), "{table}");
    let output = run(&["adm", "-f", file, "workers", "--json"]).await;
    let workers: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(workers[0]["name"], "sweep");
    let output = run(&["adm", "-f", file, "--url", "http://127.0.0.1:1", "workers"]).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("no answer from http://127.0.0.1:1/"), "{output:?}");
}

async fn a_mistake_in_the_command_is_another_status(_app: &TestApp) {
    for words in [&[][..], &["dance"], &["serve", "--loud"], &["config", "a", "b"], &["serve", "-f"]] {
        let output = run(words).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?}");
    }
    assert!(run(&["--help"]).await.status.success());
    assert!(text(&run(&["--version"]).await.stdout).contains(env!("CARGO_PKG_VERSION")));
}

async fn a_port_that_is_taken_is_a_failure(app: &TestApp) {
    let output = run(&["serve", "-f", app.dc.config_file().to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    let failure: Value = serde_json::from_str(text(&output.stdout).lines().next_back().unwrap()).unwrap();
    assert_eq!((&failure["msg"], &failure["level"]), (&json!("error starting up"), &json!(50)));
    assert!(text(&output.stderr).contains(&app.address().to_string()));
}
