// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Converts records of `tracing-bunyan-formatter` to records as node-bunyan writes them. No other code does so.
//!
//! The library's record is a flat JSON object: its core fields first, then the event's fields, then those of the
//! span. [`EventsOnly`] keeps its span records out, and [`Corrector`] rewrites each line once:
//!
//! | library | here |
//! |---|---|
//! | `[SPAN - START]`, `[SPAN - END]` records | none |
//! | `msg` with `[SPAN - EVENT] ` in front | plain |
//! | target instead of an empty `msg` | `""` |
//! | nanoseconds | milliseconds |
//! | `target`, `line`, `file` | absent, or `src` when asked for |
//! | the same key from event and span | once, the event's |
//! | text only | a field `x.json` is the JSON object `x` |
//! | no level 60 | `fatal = true` |

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::level::{Level, Settings, is_own};
use super::queue::Queue;

const JSON_SUFFIX: &str = ".json";
const EVENT_MARK: &str = " - EVENT] ";

thread_local! {
    /// The span of the event that is being formatted. The library puts the span's name in front of the message and
    /// passes nothing but text to the writer, on the same thread.
    static SPAN_NAME: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Passes events to a layer, and drops everything about spans.
pub(super) struct EventsOnly<L>(pub(super) L);

impl<S, L> Layer<S> for EventsOnly<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        SPAN_NAME.set(context.lookup_current().map(|span| span.name()));
        self.0.on_event(event, context);
    }
}

/// Makes the writers that correct a record and queue it.
pub(super) struct Corrector {
    pub(super) queue: Arc<Queue>,
    pub(super) settings: Arc<Settings>,
}

impl<'a> MakeWriter<'a> for Corrector {
    type Writer = RecordWriter<'a>;

    fn make_writer(&'a self) -> RecordWriter<'a> {
        RecordWriter { corrector: self, origin: Origin::default() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> RecordWriter<'a> {
        let origin = Origin {
            span: SPAN_NAME.get(),
            has_message: metadata.fields().field("message").is_some(),
            own: is_own(metadata.target()),
        };
        RecordWriter { corrector: self, origin }
    }
}

/// What is known of an event besides its record.
#[derive(Clone, Copy, Default)]
struct Origin {
    span: Option<&'static str>,
    has_message: bool,
    own: bool,
}

/// Takes one record per `write`, because the library writes each record with a single call.
pub(super) struct RecordWriter<'a> {
    corrector: &'a Corrector,
    origin: Origin,
}

impl Write for RecordWriter<'_> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let settings = &self.corrector.settings;
        if let Ok(members) = serde_json::from_slice::<Members<'_>>(record)
            && let Some(line) = correct(&members, self.origin, settings, record.len())
        {
            self.corrector.queue.push(&line);
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The members of a JSON object in their order, with unparsed values.
struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

/// The name of a member. It is borrowed unless it contains escapes, which `Cow` alone does not achieve.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a log record")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The parts of a record, by how they are treated.
#[derive(Default)]
struct Parts<'a> {
    name: &'a str,
    hostname: &'a str,
    pid: &'a str,
    level: &'a str,
    msg: &'a str,
    time: &'a str,
    target: Option<&'a str>,
    line: Option<&'a str>,
    file: Option<&'a str>,
    fatal: bool,
    fields: Vec<(&'a str, Value<'a>)>,
}

enum Value<'a> {
    Scalar(&'a str),
    Json(&'a str),
}

impl<'a> Parts<'a> {
    fn of(members: &'a Members<'a>) -> Parts<'a> {
        let mut parts = Parts { fields: Vec::with_capacity(members.0.len()), ..Parts::default() };
        for (Key(key), value) in &members.0 {
            parts.add(key, value.get());
        }
        parts
    }

    fn add(&mut self, key: &'a str, value: &'a str) {
        match key {
            "v" => {}
            "name" => self.name = value,
            "hostname" => self.hostname = value,
            "pid" => self.pid = value,
            "level" => self.level = value,
            "msg" => self.msg = value,
            "time" => self.time = value,
            // The library's own fields come first; the event's fields with the same names follow.
            "target" if self.target.is_none() => self.target = Some(value),
            "line" if self.line.is_none() => self.line = Some(value),
            "file" if self.file.is_none() => self.file = Some(value),
            "fatal" => self.fatal |= value == "true",
            _ if key.starts_with("log.") => {}
            _ => match key.strip_suffix(JSON_SUFFIX) {
                Some(key) => self.add_field(key, Value::Json(value)),
                None => self.add_field(key, Value::Scalar(value)),
            },
        }
    }

    fn add_field(&mut self, key: &'a str, value: Value<'a>) {
        let core = matches!(key, "v" | "name" | "hostname" | "pid" | "level" | "msg" | "time" | "src");
        if !core && self.fields.iter().all(|(known, _)| *known != key) {
            self.fields.push((key, value));
        }
    }
}

/// Returns the corrected line with its line end, or `None` if only fatal records are wanted and this is not one.
fn correct(members: &Members<'_>, origin: Origin, settings: &Settings, size: usize) -> Option<Vec<u8>> {
    let parts = Parts::of(members);
    if settings.level() == Level::Fatal && !parts.fatal {
        return None;
    }
    let level = match parts.level {
        _ if parts.fatal => "60",
        // Level 50 raises an alarm for operators. A library cannot know whether its error deserves one.
        "50" if !origin.own => "40",
        level => level,
    };
    let mut out = Vec::with_capacity(size + 32);
    for (key, value) in
        [("name", parts.name), ("hostname", parts.hostname), ("pid", parts.pid), ("level", level)]
    {
        out.push(if out.is_empty() { b'{' } else { b',' });
        push_key(&mut out, key);
        out.extend_from_slice(value.as_bytes());
    }
    for (key, value) in &parts.fields {
        out.push(b',');
        push_key(&mut out, key);
        match value {
            Value::Scalar(text) => out.extend_from_slice(text.as_bytes()),
            Value::Json(text) => splice(&mut out, text),
        }
    }
    out.extend_from_slice(b",\"msg\":");
    push_message(&mut out, parts.msg, origin);
    out.extend_from_slice(b",\"time\":");
    push_time(&mut out, parts.time);
    if settings.source() {
        out.extend_from_slice(b",\"src\":{\"file\":");
        out.extend_from_slice(parts.file.unwrap_or("null").as_bytes());
        out.extend_from_slice(b",\"line\":");
        out.extend_from_slice(parts.line.unwrap_or("null").as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b",\"v\":0}\n");
    Some(out)
}

fn push_key(out: &mut Vec<u8>, key: &str) {
    if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-') {
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory cannot fail, and a string can always be serialised.
        let _ = serde_json::to_writer(&mut *out, key);
    }
    out.push(b':');
}

/// Writes the JSON that a string contains, or the string itself if it is not one line of JSON.
fn splice(out: &mut Vec<u8>, string: &str) {
    match serde_json::from_str::<String>(string) {
        Ok(json) if !json.contains(['\n', '\r']) && serde_json::from_str::<&RawValue>(&json).is_ok() => {
            out.extend_from_slice(json.trim().as_bytes());
        }
        _ => out.extend_from_slice(string.as_bytes()),
    }
}

fn push_message(out: &mut Vec<u8>, message: &str, origin: Origin) {
    if !origin.has_message {
        return out.extend_from_slice(b"\"\"");
    }
    let plain = origin.span.and_then(|span| without_span(message, span));
    match plain {
        Some(rest) => {
            out.push(b'"');
            out.extend_from_slice(rest.as_bytes());
        }
        None => out.extend_from_slice(message.as_bytes()),
    }
}

/// Returns the rest of a message after `"[SPAN - EVENT] `. The library writes the span's name in upper case.
fn without_span<'a>(message: &'a str, span: &str) -> Option<&'a str> {
    let name_and_rest = message.strip_prefix("\"[")?;
    let (name, rest) = name_and_rest.split_at_checked(span.len())?;
    rest.strip_prefix(EVENT_MARK).filter(|_| name.eq_ignore_ascii_case(span))
}

/// Truncates a quoted RFC 3339 time in UTC, with any number of fraction digits, to milliseconds.
fn push_time(out: &mut Vec<u8>, time: &str) {
    let bare = time.trim_matches('"').trim_end_matches('Z');
    let (seconds, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    out.push(b'"');
    out.extend_from_slice(seconds.as_bytes());
    out.push(b'.');
    out.extend(fraction.bytes().chain(*b"000").take(3));
    out.extend_from_slice(b"Z\"");
}

#[cfg(test)]
#[path = "bunyan_tests.rs"]
pub(super) mod tests;
