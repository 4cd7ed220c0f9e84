// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Builds a record from the complete manifest of AdminImportImage.

use serde_json::Value;

use super::create::{CreateContext, CreateError, make};
use super::image::{Image, Record};
use super::kinds::ImageType;
use super::uuid::Uuid;
use super::{FieldError, coerce};

/// Members that an imported manifest may have and a created one may not, `urn` last.
const KEPT: &[&str] = &["uuid", "published_at", "urn"];

/// The member of `requirements` with the lowest platform that an image runs on, by SDC version.
const MIN_PLATFORM: &str = "min_platform";

/// Checks that a manifest describes the image that the path names. This comes before every other check.
///
/// # Errors
/// A problem with `uuid`.
pub fn check_uuid(manifest: &Record, uuid: Uuid) -> Result<(), FieldError> {
    let given = manifest.get("uuid").and_then(Value::as_str).and_then(|given| given.parse::<Uuid>().ok());
    if given == Some(uuid) {
        return Ok(());
    }
    Err(FieldError::invalid("uuid").because(format!("is not the {uuid} of the path")))
}

/// Returns the owner that an imported manifest names.
///
/// # Errors
/// A problem with `owner`: it is absent or not a UUID.
pub fn requested_owner(manifest: &Record) -> Result<Uuid, FieldError> {
    let Some(owner) = manifest.get("owner").filter(|owner| coerce::truthy(owner)) else {
        return Err(FieldError::missing("owner"));
    };
    let owner = owner.as_str().and_then(|owner| owner.parse().ok());
    owner.ok_or_else(|| FieldError::invalid("owner").because("not a UUID"))
}

/// Makes an unactivated image with the UUID of `context`. `published_at` and `urn` are kept. `state`, `files` and `channels`,
/// which a manifest from another server contains, are dropped; so is an `icon`, which such a manifest only mentions.
///
/// # Errors
/// A `published_at` that is not a string, then unknown members, among them an empty `urn`; then every problem of the record.
pub fn import(mut manifest: Record, context: &CreateContext) -> Result<Image, CreateError> {
    manifest.shift_remove("state");
    if manifest.get("icon") == Some(&Value::Bool(true)) {
        manifest.shift_remove("icon");
    }
    if manifest.get("published_at").is_some_and(|date| !date.is_string() || !coerce::truthy(date)) {
        let problem = FieldError::invalid("published_at").because("not a text");
        return Err(CreateError::UnknownMembers(vec![problem]));
    }
    let has_urn = manifest.get("urn").is_none_or(coerce::truthy);
    make(manifest, context, if has_urn { KEPT } else { &KEPT[..KEPT.len() - 1] })
}

/// Returns whether this is the manifest of an LX image with a `requirements.min_platform`.
pub fn has_min_platform_of_lx(manifest: &Record) -> bool {
    let kind = manifest.get("type").and_then(Value::as_str);
    kind == Some(ImageType::LxDataset.as_str())
        && manifest.get("requirements").and_then(|requirements| requirements.get(MIN_PLATFORM)).is_some()
}

/// Copies `requirements.min_platform` from the origin, or removes it if the origin has none or there is no origin.
pub fn set_min_platform(manifest: &mut Record, origin: Option<&Image>) {
    let platform = origin.and_then(|origin| origin.record().get("requirements")?.get(MIN_PLATFORM).cloned());
    let Some(requirements) = manifest.get_mut("requirements").and_then(Value::as_object_mut) else { return };
    match platform {
        Some(platform) => drop(requirements.insert(MIN_PLATFORM.to_owned(), platform)),
        None => drop(requirements.shift_remove(MIN_PLATFORM)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{BASE, DC, LUKE, VADER, object, uuid};
    use super::*;

    fn manifest(changes: Value) -> Record {
        let mut manifest = object(json!({
            "v": 2, "uuid": BASE, "owner": LUKE, "name": "a", "version": "1", "type": "zone-dataset", "os": "smartos",
            "state": "active", "files": [{"sha1": "x"}], "channels": ["dev"], "urn": "a:b:c:d",
            "published_at": "2012-10-11T14:40:57.936Z", "public": true, "icon": true,
        }));
        manifest.extend(object(changes));
        manifest
    }

    fn imported(changes: Value) -> Result<Image, CreateError> {
        let context = CreateContext { uuid: uuid(BASE), owner: Some(uuid(LUKE)), channel: None, rules: DC };
        import(manifest(changes), &context)
    }

    #[test]
    fn identity_and_date_are_kept_and_what_a_server_adds_is_dropped() {
        let image = imported(json!({})).unwrap();
        assert_eq!(image.uuid(), uuid(BASE));
        assert_eq!(image.published_at(), Some("2012-10-11T14:40:57.936Z"));
        assert_eq!(image.record()["urn"], "a:b:c:d");
        assert_eq!(image.record()["state"], "unactivated");
        assert!(image.files().is_empty() && image.channels().is_none() && image.icon().is_none());
    }

    #[test]
    fn other_members_are_refused_by_name() {
        for (changes, field) in [
            (json!({"activated": true}), "activated"),
            (json!({"creator_uuid": LUKE}), "creator_uuid"),
            (json!({"published_at": 5}), "published_at"),
            (json!({"published_at": ""}), "published_at"),
            (json!({"urn": ""}), "urn"),
        ] {
            match imported(changes) {
                Err(CreateError::UnknownMembers(problems)) => assert_eq!(problems[0].field, field),
                other => unreachable!("{other:?}"),
            }
        }
        match imported(json!({"published_at": "yesterday"})) {
            Err(CreateError::Invalid(problems)) => assert_eq!(problems[0].field, "published_at"),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn the_path_and_the_manifest_name_one_image() {
        assert_eq!(check_uuid(&manifest(json!({})), uuid(BASE)), Ok(()));
        for other in [json!(VADER), json!(5), json!(null), json!(BASE.to_uppercase())] {
            assert_eq!(check_uuid(&manifest(json!({"uuid": other})), uuid(BASE)).unwrap_err().field, "uuid");
        }
    }

    #[test]
    fn the_owner_is_named_in_the_manifest() {
        assert_eq!(requested_owner(&manifest(json!({}))), Ok(uuid(LUKE)));
        assert_eq!(requested_owner(&manifest(json!({"owner": null}))), Err(FieldError::missing("owner")));
        assert!(requested_owner(&manifest(json!({"owner": "x"}))).is_err());
    }

    #[test]
    fn the_platform_of_an_lx_image_is_its_origins() {
        let lx = |requirements: Value| manifest(json!({"type": "lx-dataset", "requirements": requirements}));
        let mut image = lx(json!({"brand": "lx", "min_platform": {"7.0": "20260101T000000Z"}}));
        assert!(has_min_platform_of_lx(&image));
        assert!(!has_min_platform_of_lx(&lx(json!({"brand": "lx"}))));
        assert!(!has_min_platform_of_lx(&manifest(
            json!({"requirements": {"min_platform": {"7.0": "20260101T000000Z"}}})
        )));
        let origin =
            imported(json!({"requirements": {"min_platform": {"7.0": "20150101T000000Z"}}})).unwrap();
        set_min_platform(&mut image, Some(&origin));
        assert_eq!(
            image["requirements"],
            json!({"brand": "lx", "min_platform": {"7.0": "20150101T000000Z"}})
        );
        set_min_platform(&mut image, None);
        assert_eq!(image["requirements"], json!({"brand": "lx"}));
    }
}
