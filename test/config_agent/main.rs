// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi config-agent` as a process, against a SAPI that works, is unavailable, or sends invalid answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod coal;
mod sapi;
mod zone;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use sapi::Answer;
use serde_json::json;
use zone::{INSTANCE, Pass, Zone, wait_for};

/// Returns a zone whose file `c.json` is rendered with the value 1.
fn zone_with_a_file() -> Zone {
    let zone = Zone::new();
    zone.manifest("c.json", r#"{"value": {{{value}}}}"#);
    zone.sapi.has("e1", &json!([]), &json!({"value": 1}));
    zone.once().succeeded();
    assert_eq!(zone.read("c.json"), r#"{"value": 1}"#);
    zone
}

#[test]
fn files_are_written_and_commands_run_when_something_has_changed_only() {
    let zone = zone_with_a_file();
    assert_eq!(zone.sapi.requests()[0].target, format!("/configs/{INSTANCE}"));
    assert_eq!(zone.read("ran"), "c.json\n");
    let before = fs::metadata(zone.path("c.json")).unwrap().modified().unwrap();
    zone.once().succeeded();
    zone.sapi.has("e2", &json!([]), &json!({"value": 1, "other": 2}));
    zone.once().succeeded();
    assert_eq!(zone.read("ran"), "c.json\n");
    assert_eq!(fs::metadata(zone.path("c.json")).unwrap().modified().unwrap(), before);
    zone.sapi.has("e3", &json!([]), &json!({"value": 2}));
    zone.once().succeeded();
    assert_eq!(
        (zone.read("c.json").as_str(), zone.read("ran").as_str()),
        (r#"{"value": 2}"#, "c.json\nc.json\n")
    );
}

#[test]
fn manifests_of_sapi_are_used_and_local_ones_come_first() {
    let zone = Zone::new();
    zone.manifest("mine", "local {{v}} {{auto.INSTANCE_UUID}}\n");
    let manifest = |name: &str, path: &str| json!({"uuid": INSTANCE, "name": name, "path": zone.path(path), "template": "sapi {{v}}"});
    let manifests =
        json!([manifest("registrar", "d/registrar"), manifest("mine", "other"), manifest("x", "mine")]);
    zone.sapi.has("e", &manifests, &json!({"v": "\u{e9}"}));
    zone.once().succeeded();
    assert_eq!(zone.read("mine"), format!("local \u{e9} {INSTANCE}\n"));
    assert_eq!(zone.read("d/registrar"), "sapi \u{e9}");
    assert!(!zone.path("other").exists());
}

#[test]
fn local_metadata_and_the_zone_take_precedence() {
    let mut zone = Zone::new();
    zone.more = json!({"localMetadata": {"a": "local"}, "autoMetadata": {"ADMIN_IP": "10.0.0.9"}});
    zone.manifest("f", "{{a}} {{b}} {{auto.ADMIN_IP}}");
    zone.sapi.has("e", &json!([]), &json!({"a": "sapi", "b": "sapi", "auto": {"ADMIN_IP": "no"}}));
    zone.once().succeeded();
    assert_eq!(zone.read("f"), "local sapi 10.0.0.9");
}

#[test]
fn a_zone_tells_who_it_is() {
    let mut zone = Zone::new();
    zone.manifest("f", "{{auto.ZONENAME}} {{auto.SERVER_UUID}} [{{auto.DATACENTER_NAME}}] {{auto.ADMIN_IP}} {{auto.PRIMARY_IP}}");
    zone.sapi.has("e", &json!([]), &json!({}));
    command(&zone, "zonename", &format!("echo {INSTANCE}"));
    let mdata = r#"case $1 in
        sdc:server_uuid) echo SERVER ;;
        sdc:nics) echo '[{"nic_tag": "admin", "ip": "10.0.0.5", "ips": ["10.0.0.5/24"]}]' ;;
        *) exit 1 ;;
    esac"#;
    let once = |zone: &Zone| {
        let mut agent = zone.agent(&["--once"]);
        let path = format!("{}:{}", zone.dir.path().display(), std::env::var("PATH").unwrap());
        Pass::of(agent.env("PATH", path).output().unwrap())
    };
    zone.more = json!({"instances": []});
    // If a command fails, its value is missing, so no file is rendered.
    command(&zone, "mdata-get", "exit 2");
    once(&zone).failed("mdata-get sdc:server_uuid has failed");
    assert!(!zone.path("f").exists());
    command(&zone, "mdata-get", mdata);
    once(&zone).succeeded();
    assert_eq!(zone.read("f"), format!("{INSTANCE} SERVER [] 10.0.0.5 10.0.0.5"));
}

/// Puts a command on the agent's path.
fn command(zone: &Zone, name: &str, script: &str) {
    fs::write(zone.path(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(zone.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn trouble_with_sapi_leaves_files_as_they_are() {
    let zone = zone_with_a_file();
    let large = format!(r#"{{"metadata": {{"value": "{}"}}}}"#, "x".repeat(17 * 1024 * 1024));
    let table = [
        (Answer::Nothing, "files stay as they are"),
        (Answer::Error(404), "SAPI does not know the instance"),
        (Answer::Error(500), "SAPI answered 500"),
        (Answer::Text("{\"metadata\": ".to_owned()), "is not usable"),
        (Answer::Text("[]".to_owned()), "is not usable"),
        (Answer::Text(large), "has more than"),
    ];
    for (answer, expected) in table {
        zone.sapi.answers(answer);
        zone.once().failed(expected);
        assert_eq!(
            (zone.read("c.json").as_str(), zone.read("ran").as_str()),
            (r#"{"value": 1}"#, "c.json\n")
        );
    }
}

#[test]
fn synchronous_waits_for_sapi_as_long_as_it_may() {
    let zone = zone_with_a_file();
    zone.sapi.answers(Answer::Error(503));
    let pass = Pass::of(zone.agent(&["-s", "-t", "1"]).output().unwrap()).failed("not done within 1 s");
    assert!(pass.error.contains("not done within 1 s"), "{pass:?}");
    let asked = zone.sapi.requests().len();
    thread::scope(|scope| {
        let pass = scope.spawn(|| Pass::of(zone.agent(&["--synchronous", "-t", "60"]).output().unwrap()));
        wait_for("a request", || zone.sapi.requests().len() > asked);
        zone.sapi.has("e2", &json!([]), &json!({"value": 2}));
        pass.join().unwrap().succeeded();
    });
    assert_eq!(zone.read("c.json"), r#"{"value": 2}"#);
}

#[test]
fn a_mistake_leaves_its_file_and_does_not_keep_others_from_being_written() {
    let zone = zone_with_a_file();
    zone.manifest("other", "{{v}}");
    let set = |template: &str| zone.manifest("c.json", template);
    let table = [
        ("{{#value}}", json!({"v": "1"}), "line 1: {{#value}}: the section is not closed"),
        ("{{value}}", json!({"v": "2", "value": null}), "line 1: {{value}}: the value is null"),
        (r#"{"value": {{{value}}}}"#, json!({"v": "3", "value": "S3CRET text"}), "the result is not JSON"),
    ];
    for (template, metadata, expected) in table {
        set(template);
        zone.sapi.has("e2", &json!([]), &metadata);
        let pass = zone.once().failed(expected);
        assert!(!pass.log.contains("S3CRET"), "{}", pass.log);
        assert_eq!(zone.read("c.json"), r#"{"value": 1}"#);
        assert_eq!(json!(zone.read("other")), metadata["v"]);
    }
    // A stray file is ignored. A broken manifest is an error, but the other manifests are rendered.
    set(r#"{"value": {{{value}}}}"#);
    zone.sapi.has("e3", &json!([]), &json!({"value": 3}));
    fs::write(zone.path("sapi_manifests/stray"), "").unwrap();
    let pass = zone.once().succeeded();
    assert!(pass.log.contains("stray is no manifest"), "{}", pass.log);
    assert_eq!(zone.read("c.json"), r#"{"value": 3}"#);
    zone.manifest_with("broken", "", json!({"path": 7}));
    zone.sapi.has("e4", &json!([]), &json!({"value": 4}));
    zone.once().failed("broken is no manifest");
    assert_eq!(zone.read("c.json"), r#"{"value": 4}"#);
}

#[test]
fn the_daemon_follows_sapi_and_forgets_nothing_that_failed() {
    let zone = zone_with_a_file();
    let daemon = zone.daemon();
    // An `ETag` is sent back unchanged. If the answer is 304, nothing is rendered.
    wait_for("a 304", || daemon.log().contains("nothing is new"));
    assert_eq!(zone.sapi.requests().last().unwrap().if_none_match.as_deref(), Some("e1"));
    fs::write(zone.path("c.json"), "{}").unwrap();
    let asked = zone.sapi.requests().len();
    wait_for("a pass", || zone.sapi.requests().len() > asked + 1);
    assert_eq!(zone.read("c.json"), "{}");
    // SIGHUP renders everything.
    daemon.signal("HUP");
    wait_for("the file", || zone.read("c.json") == r#"{"value": 1}"#);
    // A change is rendered. An invalid one is retried with each pass until it is valid.
    zone.sapi.has("e2", &json!([]), &json!({"value": null}));
    wait_for("an error", || daemon.log().matches("the value is null").count() >= 2);
    assert_eq!(zone.sapi.requests().last().unwrap().if_none_match, None);
    assert_eq!(zone.read("c.json"), r#"{"value": 1}"#);
    zone.sapi.has("e3", &json!([]), &json!({"value": 3}));
    wait_for("the file", || zone.read("c.json") == r#"{"value": 3}"#);
    // A change of a local template is rendered, too.
    zone.manifest("c.json", r#"{"value": [{{{value}}}]}"#);
    wait_for("the file", || zone.read("c.json") == r#"{"value": [3]}"#);
    // An outage does not end the agent.
    zone.sapi.answers(Answer::Nothing);
    wait_for("an error", || daemon.log().contains("files stay as they are"));
    zone.sapi.has("e4", &json!([]), &json!({"value": 4}));
    wait_for("the file", || zone.read("c.json") == r#"{"value": [4]}"#);
    wait_for("the command", || zone.read("ran").lines().count() == 5);
    daemon.stop();
    assert_eq!(zone.read("ran").lines().count(), 5);
}

#[test]
fn a_process_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let zone = Zone::new();
    zone.manifest("f", "{{v}}");
    let text = |number: usize| number.to_string().repeat(3_000_000);
    zone.sapi.has("e", &json!([]), &json!({"v": text(1)}));
    zone.once().succeeded();
    let mut old = text(1);
    for number in 2..8 {
        let new = text(number);
        zone.sapi.has("e", &json!([]), &json!({"v": new}));
        // A file from the last round would look like one from this round.
        let _ = fs::remove_file(zone.path(".f.config-agent"));
        let mut child = zone.agent(&["-s"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        // The agent is killed while it writes or synchronizes the file, or just after it has renamed it.
        wait_for("the new file to grow", || {
            let size = fs::metadata(zone.path(".f.config-agent")).map_or(0, |file| file.len());
            size >= 400_000 * number as u64 || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let now = zone.read("f");
        assert!(now == old || now == new, "{} bytes, neither the old ones nor the new ones", now.len());
        old = now;
    }
    zone.once().succeeded();
    assert_eq!(zone.read("f"), text(7));
    assert!(!zone.path(".f.config-agent").exists());
}

#[test]
fn a_command_that_the_end_of_the_process_prevented_is_run_by_the_next_one() {
    let zone = Zone::new();
    let (ran, killed) = (zone.path("ran"), zone.path("killed"));
    let (ran, killed) = (ran.display(), killed.display());
    let command = format!("if [ -e {killed} ]; then echo a >> {ran}; else touch {killed}; kill -9 $PPID; fi");
    zone.manifest_with("a", "{{v}}", json!({"post_cmd": command}));
    zone.manifest("b", "{{v}}");
    zone.sapi.has("e", &json!([]), &json!({"v": 1}));
    assert!(!zone.once().good);
    assert_eq!((zone.read("a").as_str(), zone.read("b").as_str(), zone.read("ran").as_str()), ("1", "1", ""));
    zone.once().succeeded();
    assert_eq!(zone.read("ran"), "a\nb\n");
    zone.once().succeeded();
    assert_eq!(zone.read("ran"), "a\nb\n");
}

#[test]
fn a_command_that_fails_or_does_not_end_is_told_and_is_no_obstacle() {
    let mut zone = Zone::new();
    zone.more = json!({"postCmdTimeout": 300});
    zone.manifest_with("a", "{{v}}", json!({"post_cmd": "echo 'the secret is S3CRET'; exit 7"}));
    zone.manifest_with("b", "{{v}}", json!({"post_cmd": "sleep 1000"}));
    zone.manifest("c", "{{v}}");
    zone.sapi.has("e", &json!([]), &json!({"v": 1, "root_pw": "S3CRET"}));
    let pass = zone.once().succeeded();
    assert!(pass.log.contains("post_cmd has failed, and is not repeated: exit status: 7"), "{}", pass.log);
    assert!(pass.log.contains("the secret is ***") && !pass.log.contains("S3CRET"), "{}", pass.log);
    assert!(pass.log.contains("post_cmd has taken too long, and was killed"), "{}", pass.log);
    assert_eq!(zone.read("ran"), "c\n");
    let pass = zone.once().succeeded();
    assert!(!pass.log.contains("post_cmd"), "{}", pass.log);
}

#[test]
fn a_test_tells_what_would_change_and_changes_nothing() {
    let zone = zone_with_a_file();
    zone.manifest("c.json", r#"{"value": {{{value}}}, "password": "{{{root_pw}}}"}"#);
    zone.manifest("new", "{{value}}");
    zone.sapi.has("e2", &json!([]), &json!({"value": 2, "root_pw": "S3CRET"}));
    let pass = Pass::of(zone.agent(&["--test"]).output().unwrap()).succeeded();
    let path = zone.path("c.json");
    for line in [
        &format!("{}: would change", path.display()),
        "    ~ value: 1 -> 2",
        "    + password: ***",
        "would be created, with 1 bytes",
        "    would run: echo new",
    ] {
        assert!(pass.log.contains(line), "{line}: {pass:?}");
    }
    assert!(!pass.log.contains("S3CRET"), "{pass:?}");
    assert_eq!((zone.read("c.json").as_str(), zone.read("ran").as_str()), (r#"{"value": 1}"#, "c.json\n"));
    assert!(!zone.path("new").exists());
    zone.sapi.has("e3", &json!([]), &json!({"value": null}));
    let pass = Pass::of(zone.agent(&["--test"]).output().unwrap());
    assert!(!pass.good && pass.log.contains("stays as it is: template, line 1"), "{pass:?}");
}

#[test]
fn mode_and_owner_are_as_the_manifest_says_and_else_as_they_were() {
    let zone = Zone::new();
    let mode = |name: &str| fs::metadata(zone.path(name)).unwrap().permissions().mode() & 0o7777;
    zone.manifest_with("key", "{{v}}", json!({"mode": "0600"}));
    zone.manifest("plain", "{{v}}");
    zone.sapi.has("e", &json!([]), &json!({"v": 1}));
    zone.once().succeeded();
    assert_eq!((mode("key"), mode("plain")), (0o600, 0o644));
    for name in ["key", "plain"] {
        fs::set_permissions(zone.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    zone.sapi.has("e", &json!([]), &json!({"v": 2}));
    zone.once().succeeded();
    assert_eq!((mode("key"), mode("plain")), (0o600, 0o640));
}

#[test]
fn a_wrong_configuration_is_told() {
    let mut zone = Zone::new();
    zone.more = json!({"sapi": {"url": "nowhere"}});
    let pass = zone.once();
    assert!(!pass.good && pass.error.contains("agent.json: sapi.url must be"), "{pass:?}");
    zone.more = json!({"instances": []});
    let pass = zone.once();
    assert!(!pass.good && pass.error.contains("there is no command zonename"), "{pass:?}");
    let url = zone.sapi.url.clone();
    zone.more = json!({"sapi": {}});
    zone.sapi.has("e", &json!([]), &json!({}));
    Pass::of(zone.agent(&["-s", "-u", &url]).output().unwrap()).succeeded();
}
