// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `--test`: shows what a pass would do, without doing it and without showing secrets.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::contents::contents;
use super::file::{FileAction, Target};
use super::manifests::Manifest;
use super::pass::InstanceData;
use super::secrets::{Secrets, is_secret};
use super::template::MAX_OUTPUT;
use crate::telemetry::MASK;

/// Longer values are truncated.
const SHOWN: usize = 80;

/// The most lines that are shown for one file.
const MAX_LINES: usize = 100;

/// Returns a text that says what would happen to the files, and the number of files that cannot be made.
pub(super) fn summary(instance_data: &InstanceData) -> (String, usize) {
    let mut text = String::new();
    let mut failed = instance_data.failed;
    for manifest in &instance_data.manifests {
        let path = manifest.path.display();
        match describe(manifest, &instance_data.metadata, &instance_data.secrets) {
            Ok(description) => text.push_str(&description),
            Err(problem) => {
                failed += 1;
                let _ = writeln!(text, "{path}: stays as it is: {problem}");
            }
        }
    }
    (text, failed)
}

fn describe(manifest: &Manifest, metadata: &Map<String, Value>, secrets: &Secrets) -> Result<String, String> {
    let contents = contents(manifest, metadata)?;
    let target = Target::new(&manifest.path, &manifest.access).map_err(|error| error.to_string())?;
    let need = target.need(contents.text.as_bytes()).map_err(|error| error.to_string())?;
    let path = manifest.path.display();
    let mut text = String::new();
    let _ = match need {
        FileAction::Nothing => return Ok(format!("{path}: unchanged\n")),
        FileAction::Access => return Ok(format!("{path}: mode or owner would change\n")),
        FileAction::Creation => {
            writeln!(text, "{path}: would be created, with {} bytes", contents.text.len())
        }
        FileAction::Content => writeln!(text, "{path}: would change"),
    };
    if need == FileAction::Content {
        let old = target.present_text(MAX_OUTPUT as u64).unwrap_or_default();
        for line in differences(&old, &contents.text, secrets).iter().take(MAX_LINES) {
            let _ = writeln!(text, "    {line}");
        }
    }
    if let Some(command) = &manifest.post_cmd {
        let _ = writeln!(text, "    would run: {}", secrets.hide(command));
    }
    Ok(text)
}

/// Compares two texts. For JSON it shows the keys and their values, for other text only how many lines differ.
fn differences(old: &str, new: &str, secrets: &Secrets) -> Vec<String> {
    if let (Ok(old), Ok(new)) = (serde_json::from_str(old), serde_json::from_str(new)) {
        let (old, new) = (leaves(&old), leaves(&new));
        let show = |key: &str, value: &Value| shown(key, value, secrets);
        let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
        let gone = gone.map(|(key, value)| format!("- {key}: {}", show(key, value)));
        let changed = new.iter().filter_map(|(key, value)| match old.get(key) {
            None => Some(format!("+ {key}: {}", show(key, value))),
            Some(before) if before == value => None,
            Some(before) => Some(format!("~ {key}: {} -> {}", show(key, before), show(key, value))),
        });
        let lines: Vec<String> = gone.chain(changed).collect();
        return if lines.is_empty() { vec!["the layout only".to_owned()] } else { lines };
    }
    let (old, new) = (counts(old), counts(new));
    let more = |some: &HashMap<&str, usize>, than: &HashMap<&str, usize>| -> usize {
        some.iter().map(|(line, count)| count.saturating_sub(than.get(line).copied().unwrap_or(0))).sum()
    };
    vec![format!("{} lines go, {} lines come", more(&old, &new), more(&new, &old))]
}

fn counts(text: &str) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for line in text.lines() {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Returns every value without members, by its dotted path.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn collect(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, value) in members {
                    let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    collect(&path, value, found);
                }
            }
            value => {
                found.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect("", value, &mut found);
    found
}

fn shown(key: &str, value: &Value, secrets: &Secrets) -> String {
    if is_secret(key) {
        return MASK.to_owned();
    }
    let text = secrets.hide(&value.to_string());
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_json_are_told_by_key_and_without_secrets() {
        let old = r#"{"port": 80, "ufds": {"url": "a", "bindPassword": "old"}, "gone": [1], "same": {}}"#;
        let new = r#"{"port": 81, "ufds": {"url": "a", "bindPassword": "new"}, "come": "x", "same": {}}"#;
        let lines = differences(old, new, &Secrets::default());
        assert_eq!(
            lines,
            ["- gone: [1]", "+ come: \"x\"", "~ port: 80 -> 81", "~ ufds.bindPassword: *** -> ***"]
        );
        assert_eq!(differences("{}", " {}", &Secrets::default()), ["the layout only"]);
        assert_eq!(differences("a\nb\nb", "b\nc\nd", &Secrets::default()), ["2 lines go, 2 lines come"]);
    }
}
