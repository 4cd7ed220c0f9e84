// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rebuilds a lost record from its copy in the archive.
//!
//! The archive holds the API form, which is incomplete: digests other than SHA-1, the icon, members that the server's
//! mode hides, and unknown members cannot be restored from it.

use serde_json::{Value, json};

use super::image::Record;
use super::kinds::{Mode, State};
use super::tags;

/// The file of an image as it was found in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// When it was stored, ISO 8601.
    pub mtime: String,
}

/// A restored record and the members it lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The stored form, not validated yet.
    pub record: Record,
    /// For the operator: members that the lost record had or may have had, and that this one lacks.
    pub missing: Vec<&'static str>,
}

/// Rebuilds the stored form. `local_file` looks for a file of the image in local storage, by its index and size.
pub fn restore(
    mut manifest: Record,
    mode: Mode,
    local_file: impl Fn(usize, u64) -> Option<FoundFile>,
) -> Restored {
    let mut missing = vec!["unknown members"];
    if manifest.shift_remove("icon").is_some() {
        missing.push("icon");
    }
    if mode == Mode::Public {
        missing.extend(["billing_tags", "traits"]);
    }
    let state = manifest.get("state").and_then(Value::as_str).and_then(|state| state.parse().ok());
    let is_published = manifest.contains_key("published_at");
    let activated = match state {
        Some(State::Active | State::Disabled) => true,
        // An operator can mark an activated image as failed.
        Some(State::Failed) => is_published,
        _ => false,
    };
    if state.is_some_and(State::is_placeholder) && !activated {
        missing.push("expires_at");
        for name in ["type", "os"] {
            manifest.entry(name).or_insert_with(|| json!("null"));
        }
    }
    manifest.insert("activated".to_owned(), json!(activated));
    manifest.entry("acl").or_insert_with(|| json!([]));
    if let Some(Value::Object(tags)) = manifest.get("tags").cloned() {
        manifest.insert("tags".to_owned(), json!(tags::search_list(&tags)));
        manifest.insert("tagsObj".to_owned(), Value::Object(tags));
    }
    restore_files(&mut manifest, local_file, &mut missing);
    Restored { record: manifest, missing }
}

fn restore_files(
    manifest: &mut Record,
    local_file: impl Fn(usize, u64) -> Option<FoundFile>,
    missing: &mut Vec<&'static str>,
) {
    let Some(Value::Array(files)) = manifest.get_mut("files") else { return };
    if files.is_empty() {
        manifest.shift_remove("files");
        return;
    }
    missing.extend(["files[].contentMD5", "files[].sha256"]);
    for (index, entry) in files.iter_mut().enumerate() {
        let size = entry.get("size").and_then(Value::as_u64).unwrap_or(0);
        let Some(entry) = entry.as_object_mut() else { continue };
        match local_file(index, size) {
            Some(found) => {
                entry.insert("mtime".to_owned(), json!(found.mtime));
                entry.insert("stor".to_owned(), json!("local"));
            }
            None => missing.extend(["files[].mtime", "files[].stor"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{moray_images, object};
    use super::super::json::pretty;
    use super::super::{ApiForm, ApiVersion, Image};
    use super::*;

    const FORM: ApiForm = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: false };

    fn found(_: usize, _: u64) -> Option<FoundFile> {
        Some(FoundFile { mtime: "2020-01-01T00:00:00.000Z".to_owned() })
    }

    #[test]
    fn a_restored_record_looks_like_the_lost_one() {
        for image in moray_images() {
            let archived = pretty(&image.api(&FORM)).unwrap();
            let restored = restore(serde_json::from_str(&archived).unwrap(), Mode::Dc, found);
            let again = Image::load(restored.record, image.rules).unwrap();
            let mut shown: Value = serde_json::from_str(&archived).unwrap();
            let lost = shown.as_object_mut().unwrap().shift_remove("icon").is_some();
            assert_eq!(restored.missing.contains(&"icon"), lost);
            assert_eq!(serde_json::from_str::<Value>(&pretty(&again.api(&FORM)).unwrap()).unwrap(), shown);
            assert_eq!((again.activated(), again.state()), (image.activated(), image.state()));
            assert_eq!(again.tags_search_list(), image.tags_search_list());
        }
    }

    #[test]
    fn what_is_not_found_out_is_said() {
        let manifest = object(json!({
            "state": "creating", "icon": true, "tags": {"a": 1}, "files": [{"sha1": "x", "size": 1, "compression": "none"}],
        }));
        let restored = restore(manifest.clone(), Mode::Public, |_, _| None);
        assert_eq!(
            restored.missing,
            [
                "unknown members",
                "icon",
                "billing_tags",
                "traits",
                "expires_at",
                "files[].contentMD5",
                "files[].sha256",
                "files[].mtime",
                "files[].stor"
            ]
        );
        let expected = json!({
            "state": "creating", "tags": ["a=1"], "files": [{"sha1": "x", "size": 1, "compression": "none"}], "type": "null",
            "os": "null", "activated": false, "acl": [], "tagsObj": {"a": 1},
        });
        assert_eq!(Value::Object(restored.record), expected);
        let stored = restore(manifest, Mode::Dc, found).record;
        assert_eq!(
            (&stored["files"][0]["stor"], &stored["files"][0]["mtime"]),
            (&json!("local"), &json!("2020-01-01T00:00:00.000Z"))
        );
    }
}
