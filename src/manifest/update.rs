// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Changes a record by the body of UpdateImage.

use serde_json::Value;

use super::image::{Image, Record};
use super::uuid::Uuid;
use super::{FieldError, coerce, tags};

/// Members that the owner of the image may change.
const BY_OWNER: &[&str] = &[
    "owner",
    "name",
    "version",
    "description",
    "homepage",
    "eula",
    "public",
    "os",
    "acl",
    "requirements",
    "users",
    "tags",
    "generate_passwords",
    "inherited_directories",
    "nic_driver",
    "disk_driver",
    "cpu_type",
    "image_size",
    "channels",
];

/// Members that only operators may change, in the order in which 4.13.1 reports them.
const BY_OPERATOR: &[&str] = &["state", "error", "billing_tags", "traits"];

/// Members that only operators may change, and only before activation, in the order in which 4.13.1 reports them.
const UNTIL_ACTIVATION: &[&str] = &["files", "origin", "uuid"];

/// Members of a file's entry that can change although the file does not: digests of a Docker layer.
const FILE_DIGESTS: [&str; 2] = ["digest", "uncompressedDigest"];

/// Members that an image need not have.
const REMOVABLE: &[&str] = &[
    "description",
    "homepage",
    "eula",
    "acl",
    "requirements",
    "users",
    "tags",
    "generate_passwords",
    "inherited_directories",
];

/// Returns the members of the body that ask for a change. Newer clients send null for each member they do not set, so a
/// null for a member that the caller cannot remove is ignored if the rest of the body is a valid change.
///
/// # Errors
/// Those of `refuse_members` for the whole body.
pub fn asked(image: &Image, body: &Record, is_operator: bool) -> Result<Record, Vec<FieldError>> {
    let is_removable = |name: &str| match name {
        "error" | "billing_tags" | "traits" => is_operator,
        "origin" => is_operator && !image.activated(),
        name => REMOVABLE.contains(&name),
    };
    let says = |(name, value): &(&String, &Value)| !value.is_null() || is_removable(name);
    let asked: Record = body.iter().filter(says).map(|(name, value)| (name.clone(), value.clone())).collect();
    if asked.is_empty() || refuse_members(image, &asked, is_operator).is_err() {
        return refuse_members(image, body, is_operator).map(|()| body.clone());
    }
    Ok(asked)
}

/// Checks which members the caller may change.
///
/// # Errors
/// A `NotAllowed` problem for each member that may not be changed; a missing or unusable `files`.
fn refuse_members(image: &Image, body: &Record, is_operator: bool) -> Result<(), Vec<FieldError>> {
    let known =
        |name: &str| [BY_OWNER, BY_OPERATOR, UNTIL_ACTIVATION].iter().any(|names| names.contains(&name));
    let unknown = body.keys().map(String::as_str).filter(|name| !known(name));
    let forbidden: &[&[&str]] = match (is_operator, image.activated()) {
        (false, _) => &[BY_OPERATOR, UNTIL_ACTIVATION],
        (true, true) => &[UNTIL_ACTIVATION],
        (true, false) => &[],
    };
    let forbidden = forbidden.iter().flat_map(|names| names.iter()).copied();
    let refused = unknown.chain(forbidden.filter(|name| body.contains_key(*name)));
    let mut refused: Vec<_> = refused.map(FieldError::not_allowed).collect();
    if is_operator
        && !image.activated()
        && let Some(files) = body.get("files")
    {
        refuse_files(image, files, &mut refused);
    }
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

/// Compares the first entry with the stored one and reports each member that differs. Further entries are ignored, as
/// in 4.13.1.
fn refuse_files(image: &Image, files: &Value, refused: &mut Vec<FieldError>) {
    // 4.13.1 treats the characters of a string as members that differ.
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if is_text(files) || first(files).is_some_and(is_text) {
        return refused.push(FieldError::not_allowed("files"));
    }
    let stored = image.record().get("files").and_then(|files| files.get(0));
    let (Some(stored), Some(given)) = (stored, first(files).and_then(Value::as_object)) else {
        return refused.push(FieldError::invalid("files").because("needs the entry of the image's file"));
    };
    let differs = |(name, value): &(&String, &Value)| {
        !FILE_DIGESTS.contains(&name.as_str()) && stored.get(name.as_str()) != Some(*value)
    };
    refused.extend(given.iter().filter(differs).map(|_| FieldError::not_allowed("files")));
}

/// Returns the first entry. As in 4.13.1, `files` may also be an object.
fn first(files: &Value) -> Option<&Value> {
    files.get(0).or_else(|| files.get("0"))
}

/// Returns a changed copy of the image. Members that are `null` are removed; objects and arrays are replaced, not merged.
///
/// # Errors
/// Every problem of the changed record, including those it had before the change.
pub fn update(image: &Image, body: &Record) -> Result<Image, Vec<FieldError>> {
    image.with(|raw| body.iter().for_each(|(name, value)| set(raw, name, value)))
}

fn set(raw: &mut Record, name: &str, value: &Value) {
    match name {
        "tags" => set_tags(raw, value),
        "files" => set_digests(raw, value),
        // A falsy value is ignored, as in CreateImage.
        "billing_tags" if !coerce::truthy(value) => drop(raw.shift_remove(name)),
        _ if value.is_null() => drop(raw.shift_remove(name)),
        "acl" | "billing_tags" if value.is_string() => {
            raw.insert(name.to_owned(), Value::from(vec![value.clone()]));
        }
        "image_size" => {
            let number = value.as_str().and_then(|_| coerce::number(value)).and_then(coerce::whole);
            // For 4.13.1 the string "0" is a size, and the number 0 means that there is none.
            let number = number.filter(|number| *number != 0);
            raw.insert(name.to_owned(), number.map_or_else(|| value.clone(), Value::from));
        }
        _ => drop(raw.insert(name.to_owned(), value.clone())),
    }
}

/// Sets both forms of the tags. When a falsy value removes the tags, 4.13.1 keeps the object and goes on showing it.
fn set_tags(raw: &mut Record, value: &Value) {
    if !coerce::truthy(value) {
        raw.shift_remove("tags");
        raw.shift_remove("tagsObj");
        return;
    }
    let list = value.as_object().map(tags::search_list).unwrap_or_default();
    raw.insert("tags".to_owned(), Value::from(list));
    raw.insert("tagsObj".to_owned(), value.clone());
}

fn set_digests(raw: &mut Record, files: &Value) {
    let stored = raw.get_mut("files").and_then(|files| files.get_mut(0)).and_then(Value::as_object_mut);
    let given = first(files).and_then(Value::as_object);
    if let (Some(stored), Some(given)) = (stored, given) {
        for name in FILE_DIGESTS {
            if let Some(digest) = given.get(name) {
                stored.insert(name.to_owned(), digest.clone());
            }
        }
    }
}

impl Image {
    /// Returns a copy that is disabled or enabled, with the state that follows from the flags.
    ///
    /// # Errors
    /// Every problem of the changed record. A placeholder has some, because it has no type.
    pub fn with_disabled(&self, disabled: bool) -> Result<Image, Vec<FieldError>> {
        let state = super::State::of_flags(self.activated(), disabled);
        self.with(|raw| {
            raw.insert("disabled".to_owned(), Value::Bool(disabled));
            raw.insert("state".to_owned(), Value::from(state.as_str()));
        })
    }

    /// Returns a copy with this ACL.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_acl(&self, acl: &[Uuid]) -> Result<Image, Vec<FieldError>> {
        let acl: Vec<Value> = acl.iter().map(|account| Value::from(account.to_string())).collect();
        self.with(|raw| drop(raw.insert("acl".to_owned(), Value::from(acl))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{BASE, DC, LUKE, VADER, object, uuid};
    use super::*;

    fn image(changes: Value) -> Image {
        let mut record = object(json!({
            "v": 2, "uuid": BASE, "owner": LUKE, "name": "a", "version": "1", "type": "zone-dataset", "os": "smartos",
            "public": false, "disabled": false, "activated": false, "state": "unactivated", "acl": [],
            "files": [{"sha1": "x", "size": 5, "compression": "none", "stor": "local"}],
            "tags": ["a=b"], "tagsObj": {"a": "b"}, "description": "d",
        }));
        record.extend(object(changes));
        Image::load(record, DC).unwrap()
    }

    fn active() -> Image {
        image(json!({"activated": true, "state": "active", "published_at": "2020-01-01T00:00:00.000Z"}))
    }

    fn refused(image: &Image, body: Value, is_operator: bool) -> Vec<String> {
        let result = refuse_members(image, &object(body), is_operator);
        result.err().unwrap_or_default().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn who_may_change_what_and_when() {
        let body =
            json!({"name": "b", "billing_tags": ["x"], "origin": VADER, "v": 3, "icon": true, "colour": 1});
        assert_eq!(
            refused(&image(json!({})), body.clone(), false),
            ["v", "icon", "colour", "billing_tags", "origin"]
        );
        assert_eq!(refused(&image(json!({})), body.clone(), true), ["v", "icon", "colour"]);
        assert_eq!(refused(&active(), body, true), ["v", "icon", "colour", "origin"]);
        for never in ["type", "urn", "disabled", "activated", "published_at", "expires_at"] {
            assert_eq!(refused(&image(json!({})), json!({never: null}), true), [never]);
        }
    }

    #[test]
    fn of_a_file_only_the_digests_change() {
        let entry = json!({"sha1": "x", "size": 5, "compression": "none", "digest": "sha256:1"});
        assert!(refused(&image(json!({})), json!({"files": [entry]}), true).is_empty());
        assert_eq!(refused(&image(json!({})), json!({"files": [{"sha1": "y"}]}), true), ["files"]);
        let two = json!({"files": [{"sha1": "y", "size": 6}], "v": 3});
        assert_eq!(refused(&image(json!({})), two, true), ["v", "files", "files"]);
        assert!(refused(&image(json!({})), json!({"files": {"0": entry}}), true).is_empty());
        let other = object(json!({"files": {"0": {"sha1": "y"}}}));
        let problems = refuse_members(&image(json!({})), &other, true).unwrap_err();
        assert_eq!(problems, [FieldError::not_allowed("files")]);
        for bad in [json!([]), json!(null), json!("x"), json!([5])] {
            assert_eq!(refused(&image(json!({})), json!({"files": bad}), true), ["files"]);
        }
        assert_eq!(refused(&image(json!({"files": []})), json!({"files": [entry]}), true), ["files"]);
        let changed = update(&image(json!({})), &object(json!({"files": [entry, 7]}))).unwrap();
        assert_eq!(changed.record()["files"][0]["digest"], "sha256:1");
        assert_eq!(changed.record()["files"][0]["stor"], "local");
        assert_eq!(changed.files().len(), 1);
    }

    #[test]
    fn values_are_replaced_and_null_removes() {
        let body = object(json!({"description": null, "tags": {"n": 1}, "acl": VADER, "name": "b"}));
        let changed = update(&image(json!({})), &body).unwrap();
        assert_eq!(changed.record()["tags"], json!(["n=1"]));
        assert_eq!(changed.record()["tagsObj"], json!({"n": 1}));
        assert_eq!(changed.acl(), [uuid(VADER)]);
        assert_eq!(changed.name(), "b");
        assert!(!changed.record().contains_key("description"));
        let untagged = update(&changed, &object(json!({"tags": null}))).unwrap();
        assert!(untagged.tags().is_none_or(|tags| tags.is_empty()) && untagged.tags_search_list().is_empty());
    }

    #[test]
    fn null_says_nothing_about_what_stays() {
        let names = |image: &Image, body: Value, is_operator| {
            let asked = asked(image, &object(body), is_operator);
            asked.map(|asked| asked.keys().cloned().collect::<Vec<_>>())
        };
        let body = json!({"description": "x", "name": null, "os": null, "owner": null, "public": null, "state": null,
            "error": null, "billing_tags": null, "acl": null, "origin": null, "uuid": null, "type": null, "files": null});
        let all = names(&image(json!({})), body.clone(), true);
        assert_eq!(all.unwrap(), ["description", "error", "billing_tags", "acl", "origin"]);
        assert_eq!(names(&active(), body.clone(), false).unwrap(), ["description", "acl"]);
        // A body with only such nulls is as wrong as before.
        assert_eq!(names(&active(), json!({"name": null}), false).unwrap(), ["name"]);
        let refused = |body: Value| names(&active(), body, false).unwrap_err().len();
        assert_eq!((refused(json!({"v": null})), refused(json!({"v": 3, "type": null}))), (1, 2));
    }

    #[test]
    fn the_merged_record_is_validated() {
        let problems = |body| update(&image(json!({})), &object(body)).unwrap_err();
        assert_eq!(problems(json!({"name": null}))[0].field, "name");
        assert_eq!(problems(json!({"tags": [1]}))[0].field, "tags");
        assert_eq!(problems(json!({"owner": "x"}))[0].field, "owner");
    }

    #[test]
    fn the_state_follows_the_flags() {
        let states = |image: &Image| (image.state().as_str(), image.disabled());
        assert_eq!(states(&active().with_disabled(true).unwrap()), ("disabled", true));
        assert_eq!(
            states(&active().with_disabled(true).unwrap().with_disabled(false).unwrap()),
            ("active", false)
        );
        assert_eq!(states(&image(json!({})).with_disabled(true).unwrap()), ("unactivated", true));
    }
}
