// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Compares an answer with the expectations of a step.

use serde_json::Value;

use super::answer::Answer;
use super::language::Step;
use super::variables::Variables;

/// Returns an error about the first expectation that the answer does not meet.
pub(crate) fn check(step: &Step, answer: &Answer, variables: &Variables) -> Result<(), String> {
    let body = answer.json();
    equal("status", &answer.status, &step.status.unwrap_or(200))?;
    if let Some(code) = &step.code {
        equal("code", &body["code"], &Value::from(code.as_str()))?;
    }
    if let Some(fields) = &step.fields {
        equal("fields", &fields_of(&body), fields)?;
    }
    for (name, value) in &step.has {
        let expected = filled(value, variables);
        let actual = body.pointer(&format!("/{}", name.replace('.', "/"))).unwrap_or(&Value::Null);
        equal(name, actual, &expected)?;
    }
    if let Some(name) = step.lacks.iter().find(|name| body.get(name.as_str()).is_some()) {
        return Err(format!("{name} is there: {}", body[name.as_str()]));
    }
    if let Some(members) = &step.members {
        let actual: Vec<_> = body.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        equal("members", &actual, members)?;
    }
    if let Some(text) = &step.body {
        equal("body", &answer.text(), &variables.fill(text))?;
    }
    check_images(step, &body, variables)?;
    check_headers(step, answer, variables)
}

fn fields_of(body: &Value) -> Vec<String> {
    let entries = body["errors"].as_array().into_iter().flatten();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("?").to_owned();
    entries.map(|entry| format!("{} {}", text(entry, "field"), text(entry, "code"))).collect()
}

fn check_images(step: &Step, body: &Value, variables: &Variables) -> Result<(), String> {
    if step.images.is_none() && step.includes.is_empty() && step.omits.is_empty() {
        return Ok(());
    }
    let list = body.as_array().ok_or_else(|| format!("no list: {body}"))?;
    let actual: Vec<String> =
        list.iter().map(|image| image["uuid"].as_str().unwrap_or("?").to_owned()).collect();
    let fill = |uuids: &[String]| uuids.iter().map(|uuid| variables.fill(uuid)).collect::<Vec<_>>();
    if let Some(images) = &step.images {
        equal("images", &actual, &fill(images))?;
    }
    if let Some(uuid) = fill(&step.includes).iter().find(|uuid| !actual.contains(uuid)) {
        return Err(format!("{uuid} is not in the list"));
    }
    let among = fill(&step.omits).into_iter().find(|uuid| actual.contains(uuid));
    among.map_or(Ok(()), |uuid| Err(format!("{uuid} is in the list")))
}

fn check_headers(step: &Step, answer: &Answer, variables: &Variables) -> Result<(), String> {
    for (name, expected) in &step.headers {
        let actual = answer.header(name);
        match expected.as_str() {
            "" if actual.is_none() => {}
            "any" if actual.is_some() => {}
            _ => equal(name, &actual.unwrap_or_default().to_owned(), &variables.fill(expected))?,
        }
    }
    Ok(())
}

/// Returns the value with the variables in all its texts replaced.
pub(crate) fn filled(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => Value::from(variables.fill(text)),
        Value::Array(items) => items.iter().map(|item| filled(item, variables)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (variables.fill(name), filled(value, variables))).collect()
        }
        other => other.clone(),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what} is {actual:?}, not {expected:?}")) }
}
