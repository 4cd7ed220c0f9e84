//! Making a record from the complete manifest of AdminImportImage.

use serde_json::Value;

use super::create::{CreateContext, CreateError, make};
use super::image::{Image, Record};
use super::uuid::Uuid;
use super::{FieldError, coerce};

/// Members of an imported manifest that a created one may not have.
const KEPT: &[&str] = &["uuid", "published_at", "urn"];

/// Whether a manifest is about the image that the path names. Checked before anything else in it.
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

/// The owner that an imported manifest names.
///
/// # Errors
/// A problem with `owner`: absent, or no UUID.
pub fn requested_owner(manifest: &Record) -> Result<Uuid, FieldError> {
    let Some(owner) = manifest.get("owner").filter(|owner| coerce::truthy(owner)) else {
        return Err(FieldError::missing("owner"));
    };
    let owner = owner.as_str().and_then(|owner| owner.parse().ok());
    owner.ok_or_else(|| FieldError::invalid("owner").because("not a UUID"))
}

/// Makes an unactivated image with the UUID of `context`. `published_at` and `urn` are kept; `state`, `files` and
/// `channels`, which a manifest that another server shows has, are dropped.
///
/// # Errors
/// Unknown members first, and a `published_at` that is no text; then every problem of the record.
pub fn import(mut manifest: Record, context: &CreateContext) -> Result<Image, CreateError> {
    manifest.shift_remove("state");
    if manifest.get("published_at").is_some_and(|date| !date.is_string()) {
        let problem = FieldError::invalid("published_at").because("not a text");
        return Err(CreateError::UnknownMembers(vec![problem]));
    }
    make(manifest, context, KEPT)
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
            "published_at": "2012-10-11T14:40:57.936Z", "public": true,
        }));
        manifest.extend(object(changes));
        manifest
    }

    fn imported(changes: Value) -> Result<Image, CreateError> {
        let context = CreateContext { uuid: uuid(BASE), owner: uuid(LUKE), channel: None, rules: DC };
        import(manifest(changes), &context)
    }

    #[test]
    fn identity_and_date_are_kept_and_what_a_server_adds_is_dropped() {
        let image = imported(json!({})).unwrap();
        assert_eq!(image.uuid(), uuid(BASE));
        assert_eq!(image.published_at(), Some("2012-10-11T14:40:57.936Z"));
        assert_eq!(image.record()["urn"], "a:b:c:d");
        assert_eq!(image.record()["state"], "unactivated");
        assert!(image.files().is_empty() && image.channels().is_none());
    }

    #[test]
    fn other_members_are_refused_by_name() {
        for (changes, field) in [
            (json!({"activated": true}), "activated"),
            (json!({"creator_uuid": LUKE}), "creator_uuid"),
            (json!({"published_at": 5}), "published_at"),
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
}
