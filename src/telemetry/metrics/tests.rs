// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;

use super::*;

fn metrics() -> Metrics {
    let labels = StaticLabels {
        datacenter: "dc1".into(),
        instance: "inst-uuid".into(),
        server: "server-uuid".into(),
        service: "imgapi".into(),
    };
    Metrics::new(&labels).unwrap()
}

/// Accepts exactly what cmon-agent accepts: HELP, TYPE, then samples of that metric.
fn check_format(text: &str) {
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut helped = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split(' ').next().unwrap();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "TYPE without HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            types.insert(name, kind);
        } else {
            let name = line.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let known =
                types.contains_key(name) || base.is_some_and(|base| types.get(base) == Some(&"histogram"));
            assert!(known, "sample without TYPE: {line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

/// Returns the value of the only sample with this name and all given labels.
fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |line: &&str| {
        line.starts_with(&format!("{name}{{"))
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let found: Vec<_> = text.lines().filter(has).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    found[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn requests_have_the_names_labels_and_buckets_of_triton() {
    let metrics = metrics();
    metrics.observe_request("getimage", "GET", Some("curl/8 (x)"), 200, Duration::from_millis(7));
    metrics.observe_request("getimage", "GET", Some("curl/8"), 200, Duration::from_millis(9));
    metrics.observe_request("unknown", "BREW", None, 404, Duration::from_secs(5000));
    let text = metrics.encode().unwrap();
    check_format(&text);
    assert!(text.contains(
        "# HELP http_requests_completed count of requests completed\n# TYPE http_requests_completed counter\n"
    ));
    assert!(text.contains("# HELP http_request_duration_seconds total time to process requests\n# TYPE http_request_duration_seconds histogram\n"));
    let labels = [
        ("route", "getimage"),
        ("method", "GET"),
        ("user_agent", "curl/8"),
        ("status_code", "200"),
        ("datacenter", "dc1"),
        ("instance", "inst-uuid"),
        ("server", "server-uuid"),
        ("service", "imgapi"),
        ("buckets_version", "1"),
    ];
    assert_eq!(sample(&text, "http_requests_completed", &labels), 2.0);
    let bucket = |bound| {
        let labels: Vec<_> = labels.into_iter().chain([("le", bound)]).collect();
        sample(&text, "http_request_duration_seconds_bucket", &labels)
    };
    let bounds = "0.001 0.002 0.004 0.006 0.008 0.01 0.02 0.04 0.06 0.08 0.1 0.2 0.4 0.6 0.8 1 2 4 6 8 10 20 40 60 80 100 \
        200 400 600 800 1000 2000 4000 +Inf";
    assert_eq!(bounds.split_whitespace().count(), 34);
    for bound in bounds.split_whitespace() {
        let expected = match bound.parse::<f64>().unwrap() {
            bound if bound < 0.007 => 0.0,
            bound if bound < 0.009 => 1.0,
            _ => 2.0,
        };
        assert_eq!(bucket(bound), expected, "{bound}");
    }
    let sum = sample(&text, "http_request_duration_seconds_sum", &labels);
    assert!((sum - 0.016).abs() < 1e-9);
    let unknown = [("route", "unknown"), ("method", "other"), ("user_agent", "unknown"), ("le", "4000")];
    assert_eq!(sample(&text, "http_request_duration_seconds_bucket", &unknown), 0.0);
}

#[test]
fn user_agents_are_capped_and_cleaned() {
    let metrics = metrics();
    for n in 0..500 {
        metrics.observe_request("ping", "GET", Some(&format!("agent-{n}")), 200, Duration::ZERO);
    }
    metrics.observe_request("ping", "GET", Some("agent-3"), 200, Duration::ZERO);
    let text = metrics.encode().unwrap();
    check_format(&text);
    assert_eq!(text.lines().filter(|line| line.starts_with("http_requests_completed{")).count(), 101);
    assert_eq!(sample(&text, "http_requests_completed", &[("user_agent", "other")]), 400.0);
    assert_eq!(sample(&text, "http_requests_completed", &[("user_agent", "agent-3")]), 2.0);
}

#[test]
fn a_hostile_user_agent_cannot_break_the_text() {
    let metrics = metrics();
    for agent in ["a\"} 1\nx", "\u{7f}\u{e9}", "", " ", "\\\"", &"y".repeat(5000)] {
        metrics.observe_request("ping", "GET", Some(agent), 200, Duration::ZERO);
    }
    let text = metrics.encode().unwrap();
    check_format(&text);
    assert_eq!(sample(&text, "http_requests_completed", &[("user_agent", "unknown")]), 3.0);
    assert_eq!(sample(&text, "http_requests_completed", &[("user_agent", &"y".repeat(64))]), 1.0);
}

#[test]
fn empty_metrics_are_absent_and_the_process_ones_are_there() {
    let text = metrics().encode().unwrap();
    check_format(&text);
    assert!(!text.lines().any(|line| line.starts_with("http_request")), "{text}");
    assert!(sample(&text, "process_start_time_seconds", &[("service", "imgapi")]) > 1.6e9);
    if cfg!(target_os = "linux") {
        assert!(sample(&text, "process_resident_memory_bytes", &[]) > 1e5);
    }
}

#[test]
fn our_own_metrics_count() {
    let metrics = metrics();
    metrics.connection_opened();
    let request = metrics.request_started();
    metrics.observe_backend("moray", "getObject", "ok", Duration::from_millis(3));
    metrics.observe_backend("moray", "getObject", "timeout", Duration::from_secs(9));
    metrics.set_moray_connections(4);
    metrics.file_bytes_in(5);
    metrics.file_bytes_out(7);
    metrics.set_log_dropped(3);
    metrics.set_log_dropped(3);
    let text = metrics.encode().unwrap();
    check_format(&text);
    let value = |name: &str, labels: &[(&str, &str)]| sample(&text, name, labels);
    assert_eq!(value("imgapi_http_connections_open", &[]), 1.0);
    assert_eq!(value("imgapi_http_requests_in_flight", &[]), 1.0);
    assert_eq!(value("imgapi_backend_requests_total", &[("backend", "moray"), ("outcome", "timeout")]), 1.0);
    assert_eq!(value("imgapi_backend_request_duration_seconds_count", &[("op", "getObject")]), 2.0);
    assert_eq!(value("imgapi_moray_connections", &[]), 4.0);
    assert_eq!(value("imgapi_file_bytes_total", &[("direction", "in")]), 5.0);
    assert_eq!(value("imgapi_file_bytes_total", &[("direction", "out")]), 7.0);
    assert_eq!(value("imgapi_log_records_dropped_total", &[]), 3.0);
    metrics.connection_closed();
    drop(request);
    let text = metrics.encode().unwrap();
    assert_eq!(sample(&text, "imgapi_http_connections_open", &[]), 0.0);
    assert_eq!(sample(&text, "imgapi_http_requests_in_flight", &[]), 0.0);
}
