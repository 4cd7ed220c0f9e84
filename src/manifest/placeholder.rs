// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Records of images that are being made from a VM, and of images whose creation failed.

use serde_json::json;

use super::create::{CreateContext, CreateError, record, refuse_unknown};
use super::image::{Image, Record};
use super::kinds::State;
use super::uuid::Uuid;
use super::{FieldError, coerce};

/// The value of `type` and `os` of a placeholder. 4.13.1 stores this string.
const NULL: &str = "null";

/// Returns the UUID that a body asks for, or `None` if it asks for none.
///
/// # Errors
/// A problem with `uuid`.
pub fn requested_uuid(body: &Record) -> Result<Option<Uuid>, FieldError> {
    let Some(given) = body.get("uuid").filter(|uuid| coerce::truthy(uuid)) else { return Ok(None) };
    let uuid = given.as_str().and_then(|uuid| uuid.parse().ok());
    uuid.map(Some).ok_or_else(|| FieldError::invalid("uuid").because("not a UUID"))
}

/// Makes a placeholder from the body of CreateImageFromVm. It expires at the time `expires_at` (ISO 8601). Its `uuid`
/// is that of `context`, and the body cannot choose `type`, `os` and `state`.
///
/// # Errors
/// Unknown members first; then every problem of the record.
pub fn placeholder(
    mut body: Record,
    context: &CreateContext,
    expires_at: &str,
) -> Result<Image, CreateError> {
    for name in ["uuid", "state", "type", "os"] {
        body.shift_remove(name);
    }
    body.insert("v".to_owned(), json!(2));
    refuse_unknown(&body, false, &[])?;
    let mut raw = record(body, context, false, &[]);
    raw.insert("type".to_owned(), json!(NULL));
    raw.insert("os".to_owned(), json!(NULL));
    raw.insert("state".to_owned(), json!(State::Creating));
    raw.insert("expires_at".to_owned(), json!(expires_at));
    Image::load(raw, context.rules).map_err(CreateError::Invalid)
}

impl Image {
    /// Returns a copy that says why the image was not made. If it has no expiry time yet, it expires at `expires_at`
    /// (ISO 8601).
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn failed(&self, code: &str, message: &str, expires_at: &str) -> Result<Image, Vec<FieldError>> {
        self.with(|raw| {
            raw.insert("state".to_owned(), json!(State::Failed));
            raw.insert("error".to_owned(), json!({"message": message, "code": code}));
            raw.entry("expires_at").or_insert_with(|| json!(expires_at));
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fixtures::{BASE, DC, LUKE, VADER, object, uuid};
    use super::*;

    fn made(changes: Value) -> Result<Image, CreateError> {
        let mut body = object(json!({"name": "a", "version": "1"}));
        body.extend(object(changes));
        let context = CreateContext { uuid: uuid(BASE), owner: Some(uuid(LUKE)), channel: None, rules: DC };
        placeholder(body, &context, "2026-12-01T00:00:00.000Z")
    }

    #[test]
    fn a_placeholder_has_no_type_and_expires() {
        let image =
            made(json!({"uuid": VADER, "state": "active", "type": "lx-dataset", "os": "windows", "v": 5}));
        let image = image.unwrap();
        assert_eq!((image.state(), image.image_type(), image.os()), (State::Creating, None, None));
        assert_eq!(image.expires_at(), Some("2026-12-01T00:00:00.000Z"));
        assert_eq!((image.uuid(), image.owner(), &image.record()["v"]), (uuid(BASE), uuid(LUKE), &json!(2)));
        assert!(!image.activated() && image.record()["type"] == "null");
    }

    #[test]
    fn a_placeholder_can_fail() {
        let failed =
            made(json!({})).unwrap().failed("InternalError", "no way", "2026-12-02T00:00:00.000Z").unwrap();
        assert_eq!(failed.state(), State::Failed);
        assert_eq!(failed.record()["error"], json!({"message": "no way", "code": "InternalError"}));
    }

    #[test]
    fn what_cannot_be_in_a_new_image_cannot_be_here() {
        for (changes, unknown, field) in [
            (json!({"urn": "a:b"}), true, "urn"),
            (json!({"published_at": "x"}), true, "published_at"),
            (json!({"image_size": 5}), true, "image_size"),
            (json!({"type": "zvol", "image_size": 5}), true, "image_size"),
            (json!({"name": 5, "version": null}), false, "version"),
            (json!({"tags": "x"}), false, "tags"),
        ] {
            let problems = match made(changes.clone()) {
                Err(CreateError::UnknownMembers(problems)) if unknown => problems,
                Err(CreateError::Invalid(problems)) if !unknown => problems,
                other => unreachable!("{changes}: {other:?}"),
            };
            assert_eq!(problems[0].field, field);
        }
    }

    #[test]
    fn the_uuid_may_be_asked_for() {
        let asked = |value: Value| requested_uuid(&object(json!({"uuid": value})));
        assert_eq!(asked(json!(BASE)), Ok(Some(uuid(BASE))));
        assert_eq!((asked(json!("")), requested_uuid(&Record::new())), (Ok(None), Ok(None)));
        assert!(asked(json!("x")).is_err() && asked(json!([BASE])).is_err());
    }
}
