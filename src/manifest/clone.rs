// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Builds the record of a clone: a copy of an image for another account.

use serde_json::Value;

use super::api_form::ApiForm;
use super::create::{CreateContext, CreateError};
use super::image::{Image, Record};
use super::import::import;
use super::kinds::ApiVersion;
use super::uuid::Uuid;

/// Members that a clone does not take over: who else may use the image, when it was published, its name in other
/// systems, and its icon, whose bytes are not copied.
const OWN: &[&str] = &["acl", "published_at", "urn", "icon"];

/// How a clone differs from its source.
#[derive(Debug, Clone)]
pub struct CloneContext {
    /// The clone's UUID.
    pub uuid: Uuid,
    /// The account that the clone is made for.
    pub owner: Uuid,
    /// The clone's origin: another clone, or an image that everybody shares.
    pub origin: Option<Uuid>,
    /// Whether the clone exists only as the origin of another clone. Such a clone is disabled.
    pub is_origin: bool,
    /// The current time, ISO 8601 with milliseconds. It becomes `published_at`.
    pub now: String,
}

/// Returns an activated copy of `source`. It names the same files as the source, in local storage; the caller has to
/// put them there.
///
/// # Errors
/// Every problem of the record. The source has the same problems.
pub fn clone_of(source: &Image, context: &CloneContext) -> Result<Image, CreateError> {
    let form = ApiForm { version: ApiVersion::V2, mode: source.rules.mode, admin_fields: false };
    let mut manifest = match serde_json::to_value(source.api(&form)) {
        Ok(Value::Object(manifest)) => manifest,
        _ => Record::new(),
    };
    manifest.retain(|name, _| !OWN.contains(&name.as_str()));
    match context.origin {
        Some(origin) => drop(manifest.insert("origin".to_owned(), Value::from(origin.to_string()))),
        None => drop(manifest.shift_remove("origin")),
    }
    if context.is_origin {
        manifest.insert("disabled".to_owned(), Value::Bool(true));
    }
    let create = CreateContext {
        uuid: context.uuid,
        owner: Some(context.owner),
        channel: source.channels().and_then(|channels| channels.first().cloned()),
        rules: source.rules,
    };
    let made = import(manifest, &create)?;
    let files = source.record().get("files").cloned();
    let with_files = made.with(|raw| {
        if let Some(files) = files {
            raw.insert("files".to_owned(), files);
        }
    });
    with_files.and_then(|image| image.activate(&context.now)).map_err(CreateError::Invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{BASE, BASE_2, DC, LUKE, VADER, small_record, uuid};
    use super::*;

    const NOW: &str = "2026-11-25T10:00:00.000Z";

    fn cloned(changes: Value, context: CloneContext) -> Record {
        let mut record = small_record(json!({
            "activated": true, "state": "active", "published_at": "2012-10-11T14:40:57.936Z", "acl": [LUKE],
            "files": [{"sha1": "x", "size": 5, "contentMD5": "y", "compression": "gzip", "dataset_guid": "1", "stor": "local"}],
            "icon": {"sha1": "aa", "size": 4, "contentType": "image/png"}, "urn": "a:b:c:d", "x": 1,
            "tags": ["a=1"], "tagsObj": {"a": 1}, "origin": BASE,
        }));
        record.extend(super::super::fixtures::object(changes));
        clone_of(&Image::load(record, DC).unwrap(), &context).unwrap().record().clone()
    }

    fn context() -> CloneContext {
        let origin = Some(uuid(VADER));
        CloneContext { uuid: uuid(BASE_2), owner: uuid(LUKE), origin, is_origin: false, now: NOW.into() }
    }

    #[test]
    fn a_clone_is_the_accounts_own_and_has_the_same_file() {
        let clone = cloned(json!({}), context());
        assert_eq!(
            (&clone["uuid"], &clone["owner"], &clone["origin"]),
            (&json!(BASE_2), &json!(LUKE), &json!(VADER))
        );
        assert_eq!(
            (&clone["acl"], &clone["published_at"], &clone["state"]),
            (&json!([]), &json!(NOW), &json!("active"))
        );
        assert_eq!(clone["files"][0]["dataset_guid"], "1");
        assert_eq!((&clone["tags"], &clone["tagsObj"]), (&json!(["a=1"]), &json!({"a": 1})));
        for gone in ["icon", "urn", "x"] {
            assert!(!clone.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn what_is_an_origin_only_is_disabled() {
        let clone = cloned(json!({}), CloneContext { is_origin: true, origin: None, ..context() });
        assert_eq!((&clone["disabled"], &clone["state"]), (&json!(true), &json!("disabled")));
        assert!(!clone.contains_key("origin"));
        let clone = cloned(json!({"disabled": true, "public": "true", "state": "disabled"}), context());
        assert_eq!((&clone["state"], &clone["public"]), (&json!("disabled"), &json!(true)));
    }
}
