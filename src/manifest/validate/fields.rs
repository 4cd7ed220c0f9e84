// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks of members with a single value.

use serde_json::Value;

use super::Subject;
use crate::manifest::kinds::{ImageType, Mode, Os, State};
use crate::manifest::uuid::Uuid;
use crate::manifest::{FieldError, coerce, json, times};

const MAX_NAME: usize = 1024;
const MAX_VERSION: usize = 512;
const MAX_DESCRIPTION: usize = 10240;
const MAX_URL: usize = 1024;

/// Returns a string, or a number converted to a string as in 4.13.1.
pub(super) fn loose_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(json::number_text(number)),
        _ => None,
    }
}

/// Returns whether the value is the string that a placeholder has as its `type` and `os`.
fn is_null(value: &Value) -> bool {
    value.as_str() == Some("null")
}

pub(super) fn v(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    if coerce::number(value).is_none_or(|v| v < 0.0) {
        problems.push(FieldError::invalid("v").because("not a number that is zero or more"));
    }
}

pub(super) fn uuid(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_uuid("uuid", value, problems);
}

pub(super) fn owner(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_uuid("owner", value, problems);
}

pub(super) fn origin(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_uuid("origin", value, problems);
}

fn check_uuid(name: &str, value: &Value, problems: &mut Vec<FieldError>) {
    if value.as_str().and_then(|text| text.parse::<Uuid>().ok()).is_none() {
        problems.push(FieldError::invalid(name));
    }
}

pub(super) fn name(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_label("name", "._/- ", MAX_NAME, value, problems);
}

pub(super) fn version(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_label("version", "._/+-", MAX_VERSION, value, problems);
}

/// Checks that a string consists of letters, digits and the characters `also`.
fn check_label(name: &str, also: &str, max: usize, value: &Value, problems: &mut Vec<FieldError>) {
    let Some(text) = loose_text(value) else {
        problems.push(FieldError::invalid(name).because("not a string"));
        return;
    };
    if coerce::utf16_len(&text) > max {
        problems.push(FieldError::invalid(name).because(format!("longer than {max} characters")));
    } else if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c)) {
        let allowed = format!("may have only the characters A-Z a-z 0-9 and \"{also}\", and at least one");
        problems.push(FieldError::invalid(name).because(allowed));
    }
}

pub(super) fn description(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    match loose_text(value) {
        None => problems.push(FieldError::invalid("description").because("not a string")),
        Some(text) if coerce::utf16_len(&text) > MAX_DESCRIPTION => {
            let message = format!("longer than {MAX_DESCRIPTION} characters");
            problems.push(FieldError::invalid("description").because(message));
        }
        Some(_) => {}
    }
}

pub(super) fn homepage(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_url("homepage", value, problems);
}

pub(super) fn eula(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_url("eula", value, problems);
}

fn check_url(name: &str, value: &Value, problems: &mut Vec<FieldError>) {
    let Some(text) = value.as_str() else {
        problems.push(FieldError::invalid(name).because("not a string"));
        return;
    };
    let scheme = text.trim_start().split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        problems.push(FieldError::invalid(name).because("not an http or https URL"));
    } else if coerce::utf16_len(text) > MAX_URL {
        problems.push(FieldError::invalid(name).because(format!("longer than {MAX_URL} characters")));
    }
}

pub(super) fn disabled(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_boolean("disabled", value, problems);
}

pub(super) fn activated(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_boolean("activated", value, problems);
}

pub(super) fn generate_passwords(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_boolean("generate_passwords", value, problems);
}

fn check_boolean(name: &str, value: &Value, problems: &mut Vec<FieldError>) -> Option<bool> {
    let flag = coerce::boolean(value);
    if flag.is_none() {
        problems.push(FieldError::invalid(name).because("not a boolean"));
    }
    flag
}

pub(super) fn public(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let message = match (subject.rules.mode, check_boolean("public", value, problems)) {
        (Mode::Public, Some(false)) => "must be true on a server in public mode",
        (Mode::Private, Some(true)) => "must be false on a server in private mode",
        _ => return,
    };
    problems.push(FieldError::invalid("public").because(message));
}

pub(super) fn state(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    if value.as_str().and_then(|text| text.parse::<State>().ok()).is_none() {
        problems.push(FieldError::invalid("state"));
    }
}

pub(super) fn image_type(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let known = value.as_str().is_some_and(|text| text.parse::<ImageType>().is_ok());
    let names = ImageType::ALL.iter().map(|kind| kind.as_str());
    check_kind(subject, "type", known || is_null(value), is_null(value), names, problems);
}

pub(super) fn os(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let known = value.as_str().is_some_and(|text| text.parse::<Os>().is_ok());
    let names = Os::ALL.iter().map(|os| os.as_str());
    check_kind(subject, "os", known || is_null(value), is_null(value), names, problems);
}

fn check_kind(
    subject: &Subject<'_>,
    name: &str,
    known: bool,
    null: bool,
    names: impl Iterator<Item = &'static str>,
    problems: &mut Vec<FieldError>,
) {
    let placeholder = subject.state.is_some_and(State::is_placeholder);
    if !known || (null && !placeholder) {
        let names = names.collect::<Vec<_>>().join(", ");
        problems.push(FieldError::invalid(name).because(format!("must be one of {names}")));
    }
}

pub(super) fn published_at(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let absent = !coerce::truthy(value);
    if !absent && !value.as_str().is_some_and(times::is_published_at) {
        let message = "must have the form YYYY-MM-DDTHH:MM:SS[.mmm]Z";
        problems.push(FieldError::invalid("published_at").because(message));
    }
}
