// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Deep pings, `imgapi adm status` and the drain file. Tests that stop a backend start their own datacenter.

use std::path::PathBuf;

use coal::rest::RestFault;
use coal::ufds::UfdsFault;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::process::Command;

use super::adm::{adm, text};
use super::support::{Answer, TestApp, tests, wait_until, within};

tests! {
    a_deep_ping_shows_each_backend,
    many_deep_pings_are_one,
    a_flag_of_ping_is_true_or_false,
    a_backend_that_is_away_is_seen_and_nothing_else_suffers,
    the_jobs_backends_are_asked_too,
    a_drained_server_says_so_and_serves_on,
    what_health_checks_run_finds_what_they_look_for,
}

async fn deep(app: &TestApp) -> Answer {
    app.operator().get("/ping?deep=true").await
}

/// Returns the backend of this name in the answer to a deep ping.
fn backend(pong: &Value, name: &str) -> Value {
    let backends = pong["backends"].as_array().unwrap();
    backends
        .iter()
        .find(|backend| backend["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {pong}"))
        .clone()
}

fn drain_file(app: &TestApp) -> PathBuf {
    app.dc.local_dir().join("run/drain")
}

async fn a_deep_ping_shows_each_backend(_: &TestApp) {
    let app = TestApp::start_empty().await;
    let pong =
        wait_until("all is well", async || Some(deep(&app).await).filter(|pong| pong.status == 200)).await;
    let pong = pong.ok();
    let names: Vec<_> = pong["backends"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["moray", "local-storage", "ufds", "config", "workers"]);
    assert_eq!(
        (&pong["ping"], &pong["status"], &pong["imgapi"]),
        (&json!("pong"), &json!("ok"), &json!(true))
    );
    for one in pong["backends"].as_array().unwrap() {
        let members: Vec<_> = one.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["name", "state", "latency", "version", "detail", "lastError"]);
        assert_eq!(
            (&one["state"], one["latency"].is_number()),
            (&json!("ok"), !["config", "workers"].contains(&one["name"].as_str().unwrap()))
        );
    }
    let output = adm(&app, &["status"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output.stdout);
    assert!(table.starts_with(concat!("imgapi ", env!("CARGO_PKG_VERSION"), ", process ")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("moray ") && line.contains(" ok ")), "{table}");
    let output = adm(&app, &["status", "--json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["status"], "ok");
    app.stop().await;
}

async fn many_deep_pings_are_one(app: &TestApp) {
    let probes = async || {
        let metrics = app.metrics().await;
        let lines = metrics.lines().filter(|line| {
            line.starts_with("imgapi_backend_requests_total")
                && line.contains("backend=\"ufds\"")
                && line.contains("op=\"probe\"")
        });
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>()
    };
    let before = probes().await;
    let started = std::time::Instant::now();
    let pongs = join_all((0..50).map(|_| deep(app))).await;
    assert!(pongs.iter().all(|pong| matches!(pong.status, 200 | 503)));
    // There is one probe a second, however many callers ask. Other tests may ask as well.
    let most = started.elapsed().as_secs_f64() + 2.0;
    assert!(probes().await - before <= most, "{} of {most}", probes().await - before);
}

async fn a_flag_of_ping_is_true_or_false(app: &TestApp) {
    let shallow = app.operator().get("/ping?deep=false").await;
    assert_eq!(shallow.ok().get("backends"), None);
    for other in ["", "1", "True", "yes"] {
        let refused = app.operator().get(&format!("/ping?deep={other}")).await;
        refused.refused_field("InvalidParameter", "deep", "Invalid");
    }
    app.operator().get("/ping?deep=true&error=Internal").await.refused(500, "InternalError");
    app.operator().get("/ping?unknown=x").await.ok();
}

async fn a_backend_that_is_away_is_seen_and_nothing_else_suffers(_: &TestApp) {
    let app = TestApp::start_empty().await;
    wait_until("all is well", async || (deep(&app).await.status == 200).then_some(())).await;
    app.dc.ufds().stop().await;
    let pong = wait_until("UFDS is missed", async || {
        let pong = deep(&app).await;
        (pong.status == 503 && backend(&pong.json(), "ufds")["state"] == "down").then(|| pong.json())
    })
    .await;
    assert_eq!((&pong["code"], &pong["status"]), (&json!("ServiceUnavailableError"), &json!("down")));
    assert_eq!(backend(&pong, "moray")["state"], "ok");
    let error = backend(&pong, "ufds")["lastError"].clone();
    assert!(error["time"].is_string() && !error["message"].as_str().unwrap().is_empty(), "{error}");
    app.operator().get("/ping").await.ok();
    app.dc.ufds().start().await.unwrap();
    wait_until("all is well", async || (deep(&app).await.status == 200).then_some(())).await;
    // UFDS answers, but has lost its database.
    app.dc.ufds().faults().set(UfdsFault::MorayFailure);
    wait_until("UFDS's Moray is missed", async || {
        let pong = deep(&app).await;
        let error = backend(&pong.json(), "ufds")["lastError"]["message"].clone();
        (pong.status == 503 && error.as_str()?.contains("Moray failure")).then_some(())
    })
    .await;
    let output = adm(&app, &["status"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("\nufds failed 20"), "{output:?}");
    app.stop().await;
}

async fn the_jobs_backends_are_asked_too(_: &TestApp) {
    let app = TestApp::start_with(|dc| dc.services(true)).await;
    let pong =
        wait_until("all is well", async || Some(deep(&app).await).filter(|pong| pong.status == 200)).await;
    for name in ["wfapi", "vmapi", "cnapi"] {
        assert_eq!(backend(&pong.json(), name)["state"], "ok");
    }
    app.dc.services().unwrap().vmapi().faults().set(RestFault::Stall);
    let started = std::time::Instant::now();
    let pong = wait_until("VMAPI is missed", async || {
        let pong = deep(&app).await;
        (backend(&pong.json(), "vmapi")["state"] == "down").then_some(pong)
    })
    .await;
    assert_eq!((pong.status, started.elapsed().as_secs() < 30), (503, true));
    assert!(backend(&pong.json(), "vmapi")["lastError"]["message"].as_str().unwrap().contains("no answer"));
    assert_eq!(backend(&pong.json(), "wfapi")["state"], "ok");
    app.dc.services().unwrap().vmapi().faults().clear();
    app.stop().await;
}

async fn a_drained_server_says_so_and_serves_on(_: &TestApp) {
    let app = TestApp::start_empty().await;
    app.operator().get("/ping").await.ok();
    assert_eq!(adm(&app, &["drain", "on"]).await.status.code(), Some(0));
    assert!(drain_file(&app).exists());
    app.operator().get("/ping").await.refused(503, "ServiceUnavailableError");
    app.luke().has_active_image(json!({})).await;
    assert_eq!(app.operator().get("/state").await.ok()["draining"], true);
    let pong = wait_until("the rest is well", async || {
        Some(deep(&app).await.json()).filter(|pong| pong["status"] == "draining")
    })
    .await;
    assert_eq!(pong["code"], "ServiceUnavailableError");
    let output = adm(&app, &["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).lines().next().unwrap().ends_with(": draining"), "{output:?}");
    for _ in 0..2 {
        assert_eq!(adm(&app, &["drain", "off"]).await.status.code(), Some(0));
        app.operator().get("/ping").await.ok();
    }
    assert_eq!(app.operator().get("/state").await.ok()["draining"], false);
    std::fs::write(drain_file(&app), "").unwrap();
    app.operator().get("/ping").await.refused(503, "ServiceUnavailableError");
    std::fs::remove_file(drain_file(&app)).unwrap();
    app.operator().get("/ping").await.ok();
    app.stop().await;
}

/// The commands of `sdcadm check-health`, `sdc-healthcheck`, headnode setup, and cmon-agent.
async fn what_health_checks_run_finds_what_they_look_for(app: &TestApp) {
    let shell = async |script: String| {
        let output = Command::new("sh").arg("-c").arg(&script).kill_on_drop(true).output();
        let output = within(&script, output).await.unwrap();
        text(&output.stdout).trim_end().to_owned()
    };
    let url = format!("http://{}", app.address());
    // The script sdc-imgapi, which the other commands use.
    let curl =
        "curl -4 -i -sS --connect-timeout 10 -H accept:application/json -H content-type:application/json";
    let sdc_imgapi = |path: &str| format!("{curl} --url '{url}{path}'");
    let health = format!("{} | awk '$1 == \"HTTP/1.1\" {{print $2}}'", sdc_imgapi("/images?name=imgapi"));
    assert_eq!(shell(health).await, "200", "sdc-healthcheck");
    let probe = |uuid: &str| {
        let image = sdc_imgapi(&format!("/images/{uuid}"));
        format!("{image} | head -1 | awk '{{print $2}}'")
    };
    assert_eq!(shell(probe(super::support::BASE)).await, "200", "headnode.sh");
    assert_eq!(shell(probe(super::support::NOBODY)).await, "404", "headnode.sh");
    let ping = format!("curl -sS -o /dev/null -w '%{{http_code}}' {url}/ping");
    assert_eq!(shell(ping).await, "200", "sdcadm check-health");
    let members = format!("curl -sS {url}/ping");
    let pong: Value = serde_json::from_str(&shell(members).await).unwrap();
    assert_eq!((&pong["ping"], &pong["imgapi"]), (&json!("pong"), &json!(true)), "imgadm sources");

    let metrics = app.dc.metrics_url().unwrap();
    let scraped = shell(format!("curl -sS -i {metrics}/metrics")).await;
    let (head, body) = scraped.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain"), "{head}");
    for line in body.lines() {
        let is_sample = || {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (series, labels) = name.split_once('{').unwrap();
            series.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && labels.ends_with('}')
                && labels.contains("datacenter=\"coal\"")
                && value.parse::<f64>().is_ok()
        };
        let kinds = ["counter", "gauge", "histogram"];
        let is_type = || kinds.iter().any(|kind| line.starts_with("# TYPE ") && line.ends_with(kind));
        assert!(line.starts_with("# HELP ") || is_type() || is_sample(), "{line}");
    }
    assert!(
        body.contains("http_requests_completed{") && body.contains("http_request_duration_seconds_bucket{")
    );

    // amon searches the log for these records. None of the requests here may cause one.
    wait_until("the log has been written", async || (!app.log().is_empty()).then_some(())).await;
    for record in app.log() {
        for name in ["name", "hostname", "pid", "level", "msg", "time", "v"] {
            assert!(record.get(name).is_some(), "{name}: {record}");
        }
        assert!(record["level"].as_u64().unwrap() < 60, "{record}");
        assert!(!record["msg"].as_str().unwrap().contains("Stopping because"), "{record}");
    }
}
