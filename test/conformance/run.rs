// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs a row.

use serde_json::{Map, Value, json};

use super::check::{check, filled};
use super::language::{Mode, Row, Step};
use super::rows::Book;
use super::target::Target;
use super::variables::Variables;
use super::{client, invariants};

/// Runs a row against a server, after the setups that it names. An error says which step failed, and how.
pub(crate) fn run(book: &Book, row: &Row, target: &Target, mode: Mode) -> Result<(), String> {
    let mut variables = Variables::new(mode);
    let result =
        steps(book, row).into_iter().try_for_each(|step| run_step(step, target, mode, &mut variables));
    match (&row.difference, target.is_reference()) {
        (Some(_), true) if result.is_ok() => Err("4.13.1 answers the same".to_owned()),
        // The answer of 4.13.1 is not checked if it differs. 4.13.1 may even crash.
        (Some(_), true) => {
            target.wait_for("/ping");
            Ok(())
        }
        _ => result,
    }
}

fn steps<'a>(book: &'a Book, row: &'a Row) -> Vec<&'a Step> {
    let mut setups = Vec::new();
    let mut next = row.given.as_ref();
    while let Some(name) = next {
        let setup = book.setups.get(name).unwrap_or_else(|| panic!("{}: no setup {name}", row.name));
        setups.push(setup);
        next = setup.after.as_ref();
    }
    setups.into_iter().rev().flat_map(|setup| &setup.steps).chain(&row.steps).collect()
}

fn run_step(step: &Step, target: &Target, mode: Mode, variables: &mut Variables) -> Result<(), String> {
    let request = request(step, mode, variables);
    let asked = variables.fill(&step.request);
    let failed = |what: String| format!("{asked}\n  {what}");
    let answer = client::exchange(&target.authority, &request).map_err(failed)?;
    let seen = |what| format!("{what}\n  {} {}", answer.status, answer.text());
    invariants::check(&answer, target.is_reference()).map_err(seen).map_err(failed)?;
    check(step, &answer, variables).map_err(seen).map_err(failed)?;
    for (name, part) in &step.keep {
        let value = answer.part(part).ok_or_else(|| failed(seen(format!("there is no {part}"))))?;
        variables.set(name, value);
    }
    Ok(())
}

/// Returns the bytes of the request.
fn request(step: &Step, mode: Mode, variables: &Variables) -> Vec<u8> {
    let body = body(step, mode, variables);
    let mut head = format!("{} HTTP/1.1\r\nHost: imgapi\r\n", variables.fill(&step.request));
    for (name, value) in &step.send {
        head += &format!("{name}: {}\r\n", variables.fill(value));
    }
    let sends = |name: &str| step.send.keys().any(|given| given.eq_ignore_ascii_case(name));
    let content_type = step.content_type.as_deref().unwrap_or("application/json");
    if body.is_some() && !content_type.is_empty() && !sends("content-type") {
        head += &format!("Content-Type: {content_type}\r\n");
    }
    let takes_body = !["GET ", "HEAD "].iter().any(|method| step.request.starts_with(method));
    if (body.is_some() || takes_body) && !sends("content-length") && !sends("transfer-encoding") {
        head += &format!("Content-Length: {}\r\n", body.as_ref().map_or(0, String::len));
    }
    (head + "\r\n" + &body.unwrap_or_default()).into_bytes()
}

fn body(step: &Step, mode: Mode, variables: &Variables) -> Option<String> {
    if let Some(text) = &step.text {
        return Some(variables.fill(text));
    }
    if let Some(json) = &step.json {
        return Some(filled(json, variables).to_string());
    }
    let mut manifest = small_manifest(mode);
    manifest.extend(step.with.as_ref()?.as_object()?.clone());
    manifest.retain(|name, _| !step.without.contains(name));
    Some(filled(&Value::Object(manifest), variables).to_string())
}

/// Returns the smallest valid manifest, with a unique name.
fn small_manifest(mode: Mode) -> Map<String, Value> {
    let mut manifest = Map::new();
    for (name, value) in
        [("name", "{unique}"), ("version", "1.0.0"), ("type", "zone-dataset"), ("os", "smartos")]
    {
        manifest.insert(name.to_owned(), json!(value));
    }
    if mode != Mode::Dc {
        manifest.insert("public".to_owned(), json!(true));
    }
    manifest
}
