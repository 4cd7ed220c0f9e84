// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value as JsonValue;

use crate::telemetry::Level;
use crate::telemetry::logger::Pipeline;
use crate::telemetry::{Json, err};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the lines that `work` logs at a level.
fn lines(level: Level, source: bool, work: impl FnOnce()) -> Vec<String> {
    let memory = Memory::default();
    let pipeline = Pipeline::start("imgapi", level, source, memory.clone()).unwrap();
    let (subscriber, queue) = (pipeline.subscriber, pipeline.queue);
    tracing::subscriber::with_default(subscriber, work);
    assert!(queue.flush(std::time::Duration::from_secs(30)));
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

pub(in crate::telemetry) fn one(work: impl FnOnce()) -> (String, JsonValue) {
    let mut all = lines(Level::Trace, false, work);
    assert_eq!(all.len(), 1, "{all:?}");
    let line = all.remove(0);
    let value = serde_json::from_str(&line).unwrap();
    (line, value)
}

#[test]
fn a_record_has_the_core_fields_in_bunyan_order() {
    let (line, value) = one(|| tracing::info!(component = "db", count = 3, "hello \"you\""));
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys[..4], ["name", "hostname", "pid", "level"]);
    assert_eq!(keys[keys.len() - 3..], ["msg", "time", "v"]);
    assert_eq!(keys.len(), 9);
    assert_eq!(value["name"], "imgapi");
    assert_eq!(value["pid"], std::process::id());
    assert_eq!(value["level"], 30);
    assert_eq!(value["msg"], "hello \"you\"");
    assert_eq!(value["count"], 3);
    assert!(!value["hostname"].as_str().unwrap().is_empty());
    assert!(line.contains("\"level\":30,"), "probes search for compact JSON: {line}");
    assert!(line.ends_with(",\"v\":0}"));
    let time = value["time"].as_str().unwrap();
    assert_eq!(time.len(), "2024-01-02T03:04:05.678Z".len(), "{time}");
    assert!(time.ends_with('Z') && time.as_bytes()[19] == b'.');
}

#[test]
fn spans_leave_no_records_and_pass_their_fields_on() {
    let work = || {
        let outer = tracing::info_span!("request", req_id = "R1", op = "outer");
        let _outer = outer.enter();
        let inner = tracing::info_span!("lookup", op = "inner");
        let _inner = inner.enter();
        tracing::info!(op = "event", "found");
    };
    let (line, value) = one(work);
    assert_eq!(value["msg"], "found");
    assert_eq!(value["req_id"], "R1");
    assert_eq!(value["op"], "event");
    assert_eq!(line.matches("\"op\":").count(), 1, "{line}");
}

#[test]
fn a_message_that_looks_like_a_prefix_stays() {
    let text = "[REQUEST - EVENT] really";
    assert_eq!(one(|| tracing::info!("{text}")).1["msg"], text);
    let in_span = || {
        let span = tracing::info_span!("request");
        let _in = span.enter();
        tracing::info!("{text}");
    };
    assert_eq!(one(in_span).1["msg"], text);
}

#[test]
fn an_event_without_a_message_has_an_empty_one() {
    let in_span = || {
        let span = tracing::info_span!("request");
        let _in = span.enter();
        tracing::info!(x = 1);
    };
    assert_eq!(one(|| tracing::info!(x = 1)).1["msg"], "");
    assert_eq!(one(in_span).1["msg"], "");
    assert_eq!(one(|| tracing::info!("")).1["msg"], "");
}

#[test]
fn json_fields_become_objects() {
    let object = serde_json::json!({"a": [1, {"b": "x\ny\"z"}], "n": null});
    let (_, value) = one(|| tracing::info!(data.json = %Json(&object), list.json = "[]", "m"));
    assert_eq!(value["data"], object);
    assert_eq!(value["list"], serde_json::json!([]));
}

#[test]
fn what_is_no_json_stays_text_on_one_line() {
    for bad in ["{", "{\"a\":1} x", "{\n\"a\":1}", "", "\"},\"level\":50,{\""] {
        let (line, value) = one(|| tracing::info!(data.json = bad, "m"));
        assert_eq!(value["data"], bad, "{line}");
        assert_eq!(value["level"], 30);
    }
}

#[test]
fn a_json_field_and_a_plain_one_of_the_same_name_appear_once() {
    let work = || {
        let span = tracing::info_span!("s", err = "text", level = 99, time = "never");
        let _in = span.enter();
        tracing::info!(err.json = "{}", msg.json = "{}", v.json = "7", "m");
    };
    let (line, value) = one(work);
    for key in ["err", "level", "msg", "v", "time"] {
        assert_eq!(line.matches(&format!("\"{key}\":")).count(), 1, "{line}");
    }
    assert_eq!(value["err"], serde_json::json!({}));
    assert_eq!(value["level"], 30);
}

#[test]
fn errors_have_the_err_object_and_fatal_is_level_60() {
    let e = io::Error::other("boom");
    let (line, value) = one(|| tracing::error!(fatal = true, err.json = %err(&e), "dying"));
    assert_eq!(value["level"], 60);
    assert_eq!(value["err"]["message"], "boom");
    assert!(!line.contains("fatal"));
    assert_eq!(one(|| tracing::error!(fatal = false, "x")).1["level"], 50);
}

#[test]
fn control_characters_and_unicode_survive() {
    let text = "tab\tnul\0 ünïcode \u{1F600} \u{2028} \\ end\n";
    let (_, value) = one(|| tracing::warn!(field = text, "{text}"));
    assert_eq!(value["msg"], text);
    assert_eq!(value["field"], text);
}

#[test]
fn fields_named_like_the_source_position_are_kept() {
    let (_, value) = one(|| tracing::info!(file = "image.gz", line = 7, target = "tgt", "m"));
    assert_eq!(value["file"], "image.gz");
    assert_eq!(value["line"], 7);
}

#[test]
fn the_source_is_named_when_asked_for() {
    let all = lines(Level::Trace, true, || tracing::info!("m"));
    let value: JsonValue = serde_json::from_str(&all[0]).unwrap();
    assert!(value["src"]["file"].as_str().unwrap().ends_with("bunyan_tests.rs"));
    assert!(value["src"]["line"].as_u64().unwrap() > 0);
    assert!(all[0].ends_with("},\"v\":0}"));
}

#[test]
fn levels_filter_events_but_not_the_request_id() {
    let work = || {
        let span = tracing::info_span!("request", req_id = "R2");
        let _in = span.enter();
        tracing::debug!("no");
        tracing::info!("no");
        tracing::warn!("yes");
    };
    let all = lines(Level::Warn, false, work);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("\"req_id\":\"R2\""));
    let fatal_only = || {
        tracing::error!("no");
        tracing::error!(fatal = true, "yes");
    };
    assert_eq!(lines(Level::Fatal, false, fatal_only).len(), 1);
}

#[test]
fn other_crates_are_quiet_and_raise_no_alarm() {
    let work = || {
        tracing::debug!(target: "hyper::proto", "chatter");
        tracing::error!(target: "ldap3", "lost");
    };
    let all = lines(Level::Debug, false, work);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("\"level\":40,"));
}
