// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Writes records as node-bunyan writes them. No other code does so.
//!
//! A record has the fields of its event, then those of the spans around it, which `tracing-bunyan-formatter` keeps with each
//! span. Where both have the same name, the event's is used. Its formatter is not used: it writes records of spans, the span's
//! name before each message, and fields twice.

use std::fmt::{self, Debug};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_bunyan_formatter::JsonStorage;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::level::{Level, Settings, is_own};
use super::queue::Queue;
use crate::manifest::times;

const JSON_SUFFIX: &str = ".json";

/// Fields that every record has, besides those that are written last.
const CORE: [&str; 8] = ["v", "name", "hostname", "pid", "level", "msg", "time", "src"];

/// The layer that writes a record of each event. It needs a `JsonStorageLayer` below it.
pub(super) struct BunyanLayer {
    /// The beginning of every record, up to the level.
    head: String,
    queue: Arc<Queue>,
    settings: Arc<Settings>,
}

impl BunyanLayer {
    /// A layer whose records have this `name`.
    pub(super) fn new(name: &str, queue: Arc<Queue>, settings: Arc<Settings>) -> BunyanLayer {
        let (name, pid) = (Value::from(name), std::process::id());
        let hostname = Value::from(rustix::system::uname().nodename().to_string_lossy());
        let head = format!("{{\"name\":{name},\"hostname\":{hostname},\"pid\":{pid},\"level\":");
        BunyanLayer { head, queue, settings }
    }

    fn record(&self, metadata: &Metadata<'_>, fields: &Fields) -> Vec<u8> {
        let level = level(metadata, fields.is_fatal);
        let mut record = Vec::with_capacity(self.head.len() + fields.text.len() + fields.message.len() + 128);
        record.extend_from_slice(self.head.as_bytes());
        push_json(&mut record, &level);
        record.extend_from_slice(&fields.text);
        push_member(&mut record, "msg", &fields.message);
        push_member(&mut record, "time", &times::now());
        if self.settings.source() {
            record.extend_from_slice(b",\"src\":{\"file\":");
            push_json(&mut record, &metadata.file());
            push_member(&mut record, "line", &metadata.line());
            record.push(b'}');
        }
        record.extend_from_slice(b",\"v\":0}\n");
        record
    }
}

impl<S> Layer<S> for BunyanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(span) = context.event_span(event)
            && let Some(values) = span.extensions().get::<JsonStorage<'_>>()
        {
            values.values().iter().for_each(|(name, value)| fields.add(name, value));
        }
        if self.settings.level() != Level::Fatal || fields.is_fatal {
            self.queue.push(&self.record(event.metadata(), &fields));
        }
    }
}

fn level(metadata: &Metadata<'_>, is_fatal: bool) -> u8 {
    match *metadata.level() {
        _ if is_fatal => 60,
        tracing::Level::ERROR if is_own(metadata.target()) => 50,
        // Level 50 raises an alarm for operators. A library cannot know whether its error deserves one.
        tracing::Level::ERROR | tracing::Level::WARN => 40,
        tracing::Level::INFO => 30,
        tracing::Level::DEBUG => 20,
        tracing::Level::TRACE => 10,
    }
}

/// The fields of a record. The first field of a name is used.
#[derive(Default)]
struct Fields {
    /// The fields as JSON, each after a comma.
    text: Vec<u8>,
    names: Vec<&'static str>,
    message: String,
    is_fatal: bool,
}

impl Fields {
    fn add(&mut self, name: &'static str, value: &Value) {
        match (name, value) {
            ("fatal", value) => self.is_fatal |= *value == Value::Bool(true),
            (name, Value::String(text)) => self.add_text(name, text),
            (name, value) => self.add_plain(name, value),
        }
    }

    /// Adds a text, or the JSON that it is if the name says so. JSON of several lines stays a text.
    fn add_text(&mut self, name: &'static str, text: &str) {
        let is_json = name.ends_with(JSON_SUFFIX) && !text.contains(['\n', '\r']);
        let json = if is_json { serde_json::from_str::<&RawValue>(text).ok() } else { None };
        match json {
            Some(json) => self.add_plain(name, json),
            None => self.add_plain(name, text),
        }
    }

    fn add_plain(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        // The bridge from the `log` crate describes its records in fields `log.…`.
        if name.starts_with("log.") {
            return;
        }
        let name = name.strip_suffix(JSON_SUFFIX).unwrap_or(name);
        if !CORE.contains(&name) && !self.names.contains(&name) {
            self.names.push(name);
            push_member(&mut self.text, name, value);
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_plain(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_plain(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add_plain(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.add_text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &fmt::format(format_args!("{value:?}")));
    }
}

fn push_member(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    out.push(b',');
    push_json(out, name);
    out.push(b':');
    push_json(out, value);
}

fn push_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Writing to memory cannot fail, and all values here can be serialised.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
#[path = "bunyan_tests.rs"]
pub(super) mod tests;
