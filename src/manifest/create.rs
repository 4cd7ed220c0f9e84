// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Builds a record from the body of CreateImage.
//!
//! The early steps are separate functions, because the operation calls other services in between: [`given`],
//! [`resolve_owner`], [`refuse_state`], [`requested_origin`], then [`create`].

use serde_json::{Map, Value, json};

use super::image::{Image, Record};
use super::kinds::{ImageType, Rules, State};
use super::uuid::Uuid;
use super::{FieldError, coerce, tags};

/// What the server decides about a new image.
#[derive(Debug, Clone)]
pub struct CreateContext {
    /// The new image's UUID.
    pub uuid: Uuid,
    /// The owner, from [`resolve_owner`]. With `None` the body decides, and validation checks it.
    pub owner: Option<Uuid>,
    /// The channel that the image is created in, on a server with channels.
    pub channel: Option<String>,
    /// The validation rules of the server.
    pub rules: Rules,
}

/// Why no image can be made from a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Members that are unknown or not allowed here; an `InvalidParameter` error.
    #[error("members that are unknown or not allowed: {}", fields(.0))]
    UnknownMembers(Vec<FieldError>),
    /// The manifest is invalid; a `ValidationFailed` error.
    #[error("invalid manifest: {}", fields(.0))]
    Invalid(Vec<FieldError>),
}

fn fields(problems: &[FieldError]) -> String {
    problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>().join(", ")
}

/// An `origin` that is not a UUID, so that no image can have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("origin image {0} does not exist")]
pub struct NoSuchOrigin(pub String);

/// Returns the members of the body without those that are null: newer clients send null for each member they do not set.
pub fn given(mut body: Record) -> Record {
    body.retain(|_, value| !value.is_null());
    body
}

/// Returns the owner of a new image: `owner` of the body, otherwise the account of the call.
///
/// # Errors
/// A problem with `owner`: it differs from the account or is not a UUID (`Invalid`), or neither names an owner
/// (`MissingParameter`).
pub fn resolve_owner(body: &Record, account: Option<Uuid>) -> Result<Uuid, FieldError> {
    let Some(given) = body.get("owner").filter(|owner| coerce::truthy(owner)) else {
        return account.ok_or_else(|| FieldError::missing("owner"));
    };
    let owner: Option<Uuid> = given.as_str().and_then(|text| text.parse().ok());
    match (owner, account) {
        (Some(owner), Some(account)) if owner != account => {
            Err(FieldError::invalid("owner").because("is not the account of this call"))
        }
        (Some(owner), _) => Ok(owner),
        (None, _) => Err(FieldError::invalid("owner").because("not a UUID")),
    }
}

/// Rejects a body with a `state`: a client cannot choose the state of a new image.
///
/// # Errors
/// A `NotAllowed` problem if the body has a `state`.
pub fn refuse_state(body: &Record) -> Result<(), FieldError> {
    if body.contains_key("state") { Err(FieldError::not_allowed("state")) } else { Ok(()) }
}

/// Returns the origin that a body names. A falsy `origin` is left to validation.
///
/// # Errors
/// The value is not a UUID, so no such image exists.
pub fn requested_origin(body: &Record) -> Result<Option<Uuid>, NoSuchOrigin> {
    match body.get("origin").filter(|origin| coerce::truthy(origin)) {
        None => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| NoSuchOrigin(text.clone())),
        Some(other) => Err(NoSuchOrigin(other.to_string())),
    }
}

/// Members that are copied from the body unchanged, in the order in which they are stored.
const AS_GIVEN: &[&str] = &[
    "requirements",
    "users",
    "generate_passwords",
    "inherited_directories",
    "origin",
    "traits",
    "error",
    "icon",
];

/// Members that are dropped when falsy.
const UNLESS_FALSY: &[&str] = &["description", "homepage", "eula", "icon"];

/// Members of images of type `zvol`. On other images they are unknown members.
const ZVOL: &[&str] = &["nic_driver", "disk_driver", "cpu_type", "image_size"];

/// Other known members. `files` and `channels` are accepted and dropped.
const KNOWN: &[&str] = &[
    "v",
    "owner",
    "name",
    "version",
    "type",
    "os",
    "public",
    "disabled",
    "description",
    "homepage",
    "eula",
    "acl",
    "tags",
    "billing_tags",
    "files",
    "channels",
];

/// Makes a new, unactivated image.
///
/// # Errors
/// Unknown members first; then every problem of the record, and a `state` as in [`refuse_state`].
pub fn create(mut body: Record, context: &CreateContext) -> Result<Image, CreateError> {
    refuse_state(&body).map_err(|problem| CreateError::Invalid(vec![problem]))?;
    body.entry("v").or_insert_with(|| json!(2));
    make(body, context, &[])
}

/// Makes a record, and also copies the members `kept` unchanged.
pub(super) fn make(body: Record, context: &CreateContext, kept: &[&str]) -> Result<Image, CreateError> {
    let is_zvol = body.get("type").and_then(Value::as_str) == Some(ImageType::Zvol.as_str());
    refuse_unknown(&body, is_zvol, kept)?;
    Image::load(record(body, context, is_zvol, kept), context.rules).map_err(CreateError::Invalid)
}

pub(super) fn refuse_unknown(body: &Record, is_zvol: bool, kept: &[&str]) -> Result<(), CreateError> {
    let known = |name: &str| {
        [KNOWN, AS_GIVEN, kept].iter().any(|names| names.contains(&name)) || (is_zvol && ZVOL.contains(&name))
    };
    let unknown: Vec<FieldError> =
        body.keys().filter(|name| !known(name)).map(|name| FieldError::invalid(name.as_str())).collect();
    if unknown.is_empty() { Ok(()) } else { Err(CreateError::UnknownMembers(unknown)) }
}

/// Returns the stored form of a new image, with its members in the order in which 4.13.1 writes them.
pub(super) fn record(mut body: Record, context: &CreateContext, is_zvol: bool, kept: &[&str]) -> Record {
    let mut raw = Map::new();
    take(&mut body, &mut raw, &["v"]);
    if let Some(owner) = context.owner {
        body.insert("owner".to_owned(), json!(owner));
    }
    take(&mut body, &mut raw, &["owner", "name", "version", "type", "os"]);
    for name in ["public", "disabled"] {
        let given = body.shift_remove(name).filter(coerce::truthy);
        raw.insert(name.to_owned(), given.unwrap_or(Value::Bool(false)));
    }
    raw.insert("activated".to_owned(), Value::Bool(false));
    raw.insert("state".to_owned(), json!(State::Unactivated));
    raw.insert("acl".to_owned(), body.shift_remove("acl").map_or_else(|| json!([]), list));
    if let Some(channel) = &context.channel {
        raw.insert("channels".to_owned(), json!([channel]));
    }
    take(&mut body, &mut raw, kept);
    raw.insert("uuid".to_owned(), json!(context.uuid));
    body.retain(|name, value| !UNLESS_FALSY.contains(&name.as_str()) || coerce::truthy(value));
    take(&mut body, &mut raw, &["description", "homepage", "eula"]);
    take(&mut body, &mut raw, AS_GIVEN);
    if is_zvol {
        take(&mut body, &mut raw, ZVOL);
        normalise_size(&mut raw);
    }
    if let Some(given) = body.shift_remove("tags") {
        let search_list = given.as_object().map(tags::search_list).unwrap_or_default();
        raw.insert("tags".to_owned(), json!(search_list));
        // A stored null would look like a legacy record, which has no `tagsObj`.
        raw.insert("tagsObj".to_owned(), if given.is_null() { json!(false) } else { given });
    }
    if let Some(given) = body.shift_remove("billing_tags").filter(coerce::truthy) {
        raw.insert("billing_tags".to_owned(), list(given));
    }
    raw
}

fn take(body: &mut Record, raw: &mut Record, names: &[&str]) {
    for name in names {
        if let Some(value) = body.shift_remove(*name) {
            raw.insert((*name).to_owned(), value);
        }
    }
}

/// Wraps a single string in a list; other values stay unchanged.
fn list(value: Value) -> Value {
    if value.is_string() { Value::Array(vec![value]) } else { value }
}

/// Converts a numeric string to a number. An absent size becomes a value that is not a number, because 4.13.1 reports
/// an absent size as invalid, not as missing.
fn normalise_size(raw: &mut Record) {
    let given = raw.entry("image_size").or_insert_with(|| json!("NaN"));
    if let Some(size) = given.as_str().and_then(coerce::number_of_text).and_then(coerce::whole) {
        *given = json!(size);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{BASE, DC, LUKE, VADER, object, uuid};
    use super::super::kinds::Mode;
    use super::*;

    fn context() -> CreateContext {
        CreateContext { uuid: uuid(BASE), owner: Some(uuid(LUKE)), channel: None, rules: DC }
    }

    fn body(changes: Value) -> Record {
        let mut body = object(json!({"name": "a", "version": "1", "type": "zone-dataset", "os": "smartos"}));
        body.extend(object(changes));
        body
    }

    fn create_from(changes: Value) -> Result<Image, CreateError> {
        create(body(changes), &context())
    }

    fn problems(result: Result<Image, CreateError>) -> (bool, Vec<String>) {
        let (unknown, problems) = match result {
            Ok(image) => unreachable!("{:?} was made", image.record()),
            Err(CreateError::UnknownMembers(problems)) => (true, problems),
            Err(CreateError::Invalid(problems)) => (false, problems),
        };
        (unknown, problems.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn the_record_is_the_one_4_13_1_would_store() {
        let image = create_from(json!({"owner": LUKE, "files": [1], "channels": ["x"]})).unwrap();
        let expected = concat!(
            r#"{"v":2,"owner":"91ba0e64-2547-11e2-a972-df579e5fddb3","name":"a","version":"1","type":"zone-dataset","#,
            r#""os":"smartos","public":false,"disabled":false,"activated":false,"state":"unactivated","acl":[],"#,
            r#""uuid":"c58161c0-2547-11e2-a75e-9fdca1940570"}"#
        );
        assert_eq!(serde_json::to_string(image.record()).unwrap(), expected);
    }

    #[test]
    fn given_members_are_normalised() {
        let image = create_from(json!({
            "public": "true", "disabled": 0, "acl": VADER, "billing_tags": "b", "tags": {"str": "bar", "num": 42},
            "icon": false, "description": "", "homepage": null, "eula": "http://a", "v": 3,
        }))
        .unwrap();
        let record = image.record();
        assert_eq!(record["public"], json!("true"));
        assert_eq!(record["disabled"], json!(false));
        assert_eq!(record["acl"], json!([VADER]));
        assert_eq!(record["billing_tags"], json!(["b"]));
        assert_eq!(record["tags"], json!(["str=bar", "num=42"]));
        assert_eq!(record["tagsObj"], json!({"str": "bar", "num": 42}));
        assert_eq!(record["v"], json!(3));
        assert_eq!(record["eula"], json!("http://a"));
        assert!(["icon", "description", "homepage", "files"].iter().all(|name| !record.contains_key(*name)));
    }

    #[test]
    fn a_zvol_has_a_size_and_drivers() {
        let drivers = json!({"type": "zvol", "nic_driver": "a", "disk_driver": "b", "cpu_type": "c"});
        let mut with_size = object(drivers.clone());
        with_size.insert("image_size".to_owned(), json!("16384"));
        assert_eq!(create_from(Value::Object(with_size)).unwrap().record()["image_size"], json!(16384));
        assert_eq!(problems(create_from(drivers)), (false, vec!["image_size".to_owned()]));
    }

    #[test]
    fn unknown_members_are_refused_before_validation() {
        let (unknown, fields) = problems(create_from(json!({
            "name": "$", "uuid": BASE, "published_at": "x", "urn": "x", "activated": true, "expires_at": "x",
            "image_size": 1, "colour": "blue",
        })));
        assert!(unknown);
        assert_eq!(
            fields,
            ["uuid", "published_at", "urn", "activated", "expires_at", "image_size", "colour"]
        );
    }

    #[test]
    fn invalid_members_are_named() {
        for (changes, field) in [
            (json!({"tags": [1]}), "tags"),
            (json!({"tags": null}), "tags"),
            (json!({"tags": "x"}), "tags"),
            (json!({"acl": null}), "acl"),
            (json!({"icon": true}), "icon"),
            (json!({"origin": ""}), "origin"),
            (json!({"homepage": 5}), "homepage"),
            (json!({"generate_passwords": 1}), "generate_passwords"),
            (json!({"disabled": 1}), "disabled"),
            (json!({"requirements": null}), "requirements"),
            (json!({"traits": null}), "traits"),
            (json!({"state": "active"}), "state"),
        ] {
            assert_eq!(problems(create_from(changes)), (false, vec![field.to_owned()]));
        }
        assert_eq!(problems(create(Record::new(), &context())).1, ["name", "version", "type", "os"]);
    }

    #[test]
    fn the_channel_is_the_servers_choice() {
        let rules = Rules { mode: Mode::Public, channels_configured: true };
        let context = CreateContext { channel: Some("dev".to_owned()), rules, ..context() };
        let image = create(body(json!({"channels": ["release"], "public": true})), &context).unwrap();
        assert_eq!(image.channels(), Some(&["dev".to_owned()][..]));
        assert_eq!(problems(create(body(json!({})), &context)), (false, vec!["public".to_owned()]));
    }

    #[test]
    fn the_owner_is_the_account_or_the_one_named() {
        let named = object(json!({"owner": LUKE}));
        assert_eq!(resolve_owner(&named, None), Ok(uuid(LUKE)));
        assert_eq!(resolve_owner(&named, Some(uuid(LUKE))), Ok(uuid(LUKE)));
        assert_eq!(resolve_owner(&named, Some(uuid(VADER))).unwrap_err().field, "owner");
        assert_eq!(resolve_owner(&Record::new(), Some(uuid(VADER))), Ok(uuid(VADER)));
        assert_eq!(resolve_owner(&Record::new(), None), Err(FieldError::missing("owner")));
        for bad in [json!("x"), json!(5), json!([LUKE])] {
            assert!(resolve_owner(&object(json!({"owner": bad})), Some(uuid(LUKE))).is_err());
        }
    }

    #[test]
    fn an_origin_that_is_no_uuid_does_not_exist() {
        let origin = |value: Value| requested_origin(&object(json!({"origin": value})));
        assert_eq!(origin(json!(BASE)), Ok(Some(uuid(BASE))));
        assert_eq!(origin(json!("x")), Err(NoSuchOrigin("x".to_owned())));
        assert_eq!(origin(json!(5)), Err(NoSuchOrigin("5".to_owned())));
        assert_eq!(origin(json!("")), Ok(None));
        assert_eq!(requested_origin(&Record::new()), Ok(None));
    }
}
