// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The metrics, as cmon-agent and dashboards read them.

use std::collections::{BTreeMap, HashSet};

use reqwest::Method;
use serde_json::Value;

use super::support::{Answer, BASE, NOBODY, TestApp, tests, wait_until};

tests! {
    requests_are_counted_under_the_labels_of_4_13_1,
    durations_have_the_buckets_of_4_13_1,
    the_text_is_one_that_cmon_agent_accepts,
    other_paths_and_methods_are_refused,
}

/// One line of the metrics.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn parse(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
}

/// Returns the samples of requests with this user agent.
async fn samples(app: &TestApp, user_agent: &str) -> Vec<Sample> {
    let text = app.metrics().await;
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(parse);
    samples
        .filter(|sample| sample.labels.get("user_agent").is_some_and(|value| value == user_agent))
        .collect()
}

async fn requests_are_counted_under_the_labels_of_4_13_1(app: &TestApp) {
    let image = format!("/images/{BASE}");
    let calls = [
        (Method::GET, image.clone(), "getimage", "200"),
        (Method::GET, image.clone(), "getimage", "200"),
        (Method::GET, format!("/images/{NOBODY}"), "getimage", "404"),
        (Method::GET, "/images?limit=1".into(), "listimages", "200"),
        (Method::POST, "/images".into(), "createimage", "422"),
        (Method::PUT, format!("/images/{NOBODY}/file"), "addimagefile", "404"),
        (Method::GET, format!("/images/{NOBODY}/file"), "getimagefile", "404"),
        (Method::HEAD, format!("/images/{NOBODY}/file"), "getimagefile", "404"),
        (Method::POST, format!("/images/{NOBODY}?action=activate"), "updateimage", "404"),
        (Method::DELETE, format!("/images/{NOBODY}"), "deleteimage", "404"),
        (Method::GET, "/ping".into(), "ping", "200"),
        (Method::GET, "/nothing".into(), "unknown", "404"),
        (Method::PATCH, "/images".into(), "unknown", "405"),
    ];
    for (method, target, ..) in &calls {
        let call = app.operator().call(method.clone(), target);
        call.header("user-agent", "dctest-counter/1.0 (a test)").send().await;
    }
    let of = |method: &Method, route: &str, status: &str| {
        calls.iter().filter(|call| (&call.0, call.2, call.3) == (method, route, status)).count() as f64
    };
    let config: Value = serde_json::from_slice(&std::fs::read(app.dc.config_file()).unwrap()).unwrap();
    let found = wait_until("all requests are counted", async || {
        let mut samples = samples(app, "dctest-counter/1.0").await;
        samples.retain(|sample| sample.name == "http_requests_completed");
        let sum: f64 = samples.iter().map(|sample| sample.value).sum();
        (sum >= calls.len() as f64).then_some(samples)
    })
    .await;
    for sample in &found {
        let label = |name: &str| sample.labels[name].as_str();
        let method: Method = label("method").parse().unwrap();
        assert_eq!(sample.value, of(&method, label("route"), label("status_code")), "{sample:?}");
        let fixed = ["datacenter", "instance", "server", "service", "buckets_version"].map(label);
        let text = |name: &str| config[name].as_str().unwrap();
        let expected = [text("datacenterName"), text("instanceUuid"), text("serverUuid"), "imgapi", "1"];
        assert_eq!(fixed, expected, "{sample:?}");
        assert_eq!(sample.labels.len(), 9, "{sample:?}");
    }
}

async fn durations_have_the_buckets_of_4_13_1(app: &TestApp) {
    let buckets = "0.001 0.002 0.004 0.006 0.008 0.01 0.02 0.04 0.06 0.08 0.1 0.2 0.4 0.6 0.8 1 2 4 6 8 10 20 40 60 80 \
                   100 200 400 600 800 1000 2000 4000 +Inf";
    let call = app.operator().call(Method::GET, "/ping").header("user-agent", "dctest-duration");
    call.send().await.ok();
    let found = wait_until("the request is counted", async || {
        let mut samples = samples(app, "dctest-duration").await;
        samples.retain(|sample| sample.name.starts_with("http_request_duration_seconds"));
        (!samples.is_empty()).then_some(samples)
    })
    .await;
    let bounds = found.iter().filter_map(|sample| sample.labels.get("le").map(String::as_str));
    assert_eq!(bounds.collect::<Vec<_>>().join(" "), buckets);
    let values: Vec<f64> =
        found.iter().filter(|sample| sample.labels.contains_key("le")).map(|s| s.value).collect();
    assert!(values.is_sorted() && values.last() == Some(&1.0), "{values:?}");
    let one = |suffix: &str| {
        let name = format!("http_request_duration_seconds_{suffix}");
        found.iter().find(|sample| sample.name == name).unwrap().value
    };
    assert_eq!(one("count"), 1.0);
    // A ping takes less than a minute, but more than no time at all.
    assert!(one("sum") > 0.0 && one("sum") < 60.0);
}

async fn the_text_is_one_that_cmon_agent_accepts(app: &TestApp) {
    let odd = app.operator().call(Method::GET, "/ping").header("user-agent", "odd\"\\agent");
    odd.send().await.ok();
    let text = app.metrics().await;
    assert!(text.ends_with('\n') && !text.contains("# EOF") && !text.contains("# UNIT"));
    assert!(text.contains("# HELP http_requests_completed count of requests completed\n"));
    assert!(text.contains("# HELP http_request_duration_seconds total time to process requests\n"));
    let mut typed = HashSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", _, _, ..] => {}
            ["#", "TYPE", name, kind] => {
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(typed.insert(name.to_owned()), "{line}");
            }
            _ => {
                assert!(!line.starts_with('#'), "{line}");
                let name = line.split(['{', ' ']).next().unwrap();
                let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
                assert!(typed.contains(name) || base.is_some_and(|base| typed.contains(base)), "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}

async fn other_paths_and_methods_are_refused(app: &TestApp) {
    let call = async |method: Method, path: &str| {
        let url = format!("{}{path}", app.dc.metrics_url().unwrap());
        let response = app.http.request(method, url).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { what: path.to_owned(), status, headers, body: response.bytes().await.unwrap() }
    };
    let metrics = call(Method::GET, "/metrics").await;
    assert_eq!((metrics.status, metrics.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let refusal = call(Method::GET, "/other").await.refused(404, "ResourceNotFound");
    assert_eq!(refusal.message, "/other does not exist");
    for method in [Method::POST, Method::HEAD, Method::DELETE] {
        let answer = call(method.clone(), "/metrics").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")), "{method}");
    }
    // The API does not serve the metrics, and the metrics port does not serve the API.
    app.operator().get("/metrics").await.not_found();
    call(Method::GET, "/images").await.not_found();
}
