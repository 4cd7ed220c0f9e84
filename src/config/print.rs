// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::Config;
use crate::console;

/// Prints the merged configuration, including computed values, as JSON with four spaces a level, or the value of one
/// dotted `key`: a string without quotation marks, any other value as JSON. If there is no such key nothing is printed,
/// which scripts rely on.
///
/// Like the file itself, the output contains secrets.
///
/// # Errors
/// What is wrong with the file, its values, or the key.
pub fn print(file: &Path, key: Option<&str>) -> Result<(), String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let text = match key {
        None => render(&config.merged())?,
        Some(key) => match lookup(&config, key).ok_or_else(|| format!("there is no key {key:?}"))? {
            Value::String(text) => text.clone(),
            value => render(value)?,
        },
    };
    console::print_line(text)
}

fn lookup<'a>(config: &'a Config, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = config.merged().get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn render(value: &impl Serialize) -> Result<String, String> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut serializer).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
