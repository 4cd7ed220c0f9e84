// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks of members that are lists or objects.

use serde_json::Value;

use super::Subject;
use crate::manifest::json::{self, JsValue};
use crate::manifest::kinds::ImageType;
use crate::manifest::uuid::Uuid;
use crate::manifest::{FieldError, Mode, coerce};

const MAX_BILLING_TAG: usize = 128;
const MAX_TAGS_TEXT: usize = 102_400;

pub(super) fn acl(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    // Legacy records hold a single account as a string.
    let Some(accounts) = one_or_many(value) else {
        problems.push(FieldError::invalid("acl").because("not an array"));
        return;
    };
    let bad = |account: &Value| account.as_str().and_then(|text| text.parse::<Uuid>().ok()).is_none();
    if let Some(index) = accounts.iter().position(bad) {
        problems.push(FieldError::invalid("acl").because(format!("item {index} is not a UUID")));
    }
}

pub(super) fn billing_tags(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let Some(tags) = one_or_many(value) else {
        problems.push(FieldError::invalid("billing_tags").because("not an array"));
        return;
    };
    for (index, tag) in tags.iter().enumerate() {
        let message = match tag.as_str() {
            None => format!("item {index} is not a string"),
            Some(text) if coerce::utf16_len(text) > MAX_BILLING_TAG => {
                format!("item {index} is longer than {MAX_BILLING_TAG} characters")
            }
            // Moray's database takes this string for a missing value, and would no longer return the record.
            Some(text) if subject.rules.mode == Mode::Dc && text.trim().eq_ignore_ascii_case("null") => {
                format!("item {index} cannot be {text:?}")
            }
            Some(text) if has_nul(text) => format!("item {index} has a NUL character"),
            Some(_) => continue,
        };
        problems.push(FieldError::invalid("billing_tags").because(message));
    }
}

/// Returns whether the value contains a NUL character, which databases cannot store in an index of strings.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// Returns the elements of an array, or a string as the only element.
pub(super) fn one_or_many(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::String(_) => Some(std::slice::from_ref(value)),
        _ => None,
    }
}

pub(super) fn users(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let good = |user: &Value| has_exactly(user, &["name"]);
    check_items("users", value, good, "must have \"name\" and nothing else", problems);
}

/// Returns whether a value is an object with exactly these members.
pub(super) fn has_exactly(value: &Value, names: &[&str]) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == names.len() && names.iter().all(|name| members.contains_key(*name))
    })
}

pub(super) fn inherited_directories(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    if subject.image_type != Some(ImageType::ZoneDataset) {
        let message = "only images of type zone-dataset have it";
        problems.push(FieldError::invalid("inherited_directories").because(message));
        return;
    }
    check_items("inherited_directories", value, Value::is_string, "is not a string", problems);
}

pub(super) fn channels(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    if !subject.rules.channels_configured {
        problems.push(FieldError::invalid("channels").because("this server has no channels"));
        return;
    }
    // A channel need not be configured, so that images stay visible when their channel is removed.
    check_items("channels", value, Value::is_string, "is not a string", problems);
}

fn check_items(
    name: &str,
    value: &Value,
    good: impl Fn(&Value) -> bool,
    complaint: &str,
    problems: &mut Vec<FieldError>,
) {
    let Some(items) = value.as_array() else {
        problems.push(FieldError::invalid(name).because("not an array"));
        return;
    };
    for (index, _) in items.iter().enumerate().filter(|(_, item)| !good(item)) {
        problems.push(FieldError::invalid(name).because(format!("item {index} {complaint}")));
    }
}

pub(super) fn traits(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let bad = |value: &Value| !matches!(value, Value::String(_) | Value::Bool(_) | Value::Array(_));
    let complaint = |name: &str| {
        FieldError::invalid("traits").because(format!("\"{name}\" is not a string, a boolean or an array"))
    };
    match value {
        Value::Object(traits) => {
            problems.extend(traits.iter().filter(|(_, value)| bad(value)).map(|(name, _)| complaint(name)));
        }
        // 4.13.1 treats an array as an object whose member names are indices.
        Value::Array(traits) => {
            let bad = traits.iter().enumerate().filter(|(_, value)| bad(value));
            problems.extend(bad.map(|(index, _)| complaint(&index.to_string())));
        }
        _ => problems.push(FieldError::invalid("traits").because("not an object")),
    }
}

pub(super) fn tags(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let Value::Object(tags) = value else {
        problems.push(FieldError::invalid("tags").because("not an object"));
        return;
    };
    if tags.iter().any(|(key, value)| has_nul(key) || value.as_str().is_some_and(has_nul)) {
        problems.push(FieldError::invalid("tags").because("a NUL character"));
    }
    let fits = json::compact(&JsValue(value)).is_ok_and(|text| coerce::utf16_len(&text) <= MAX_TAGS_TEXT);
    if !fits {
        let message = format!("longer than {MAX_TAGS_TEXT} characters as JSON text");
        problems.push(FieldError::invalid("tags").because(message));
    }
}

pub(super) fn error(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    // The values that JavaScript calls an object.
    if !(value.is_object() || value.is_array() || value.is_null()) {
        problems.push(FieldError::invalid("error").because("not an object"));
    }
}
