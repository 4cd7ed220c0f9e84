// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The examples of `docs/index.md`. Each is sent to a real server, whose answer must be the documented one.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::TestApp;

const DOCUMENT: &str = include_str!("../../../docs/index.md");

/// Stands for further members of an object, or for any text.
const ANYTHING: &str = "…";

/// One request with its answer.
#[derive(Debug)]
struct Example {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
    answer: String,
}

impl Example {
    /// Parses a block: a request line, optional headers and an empty line, a body, an arrow with the status, and the body of the
    /// answer.
    fn parse(block: &str) -> Example {
        let (request, answer) = block.split_once("→ ").unwrap_or_else(|| panic!("no answer: {block}"));
        let (line, rest) = request.split_once('\n').unwrap();
        let (method, target) = line.split_once(' ').unwrap();
        let (headers, body) = rest.split_once("\n\n").unwrap_or(("", rest));
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (status, answer) = answer.split_once('\n').unwrap();
        Example {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            headers: headers.lines().map(|line| header(line).unwrap()).collect(),
            body: body.trim().to_owned(),
            status: status.parse().unwrap(),
            answer: answer.trim().to_owned(),
        }
    }
}

/// Returns the blocks with this info string.
fn examples(info: &str) -> Vec<Example> {
    let begin = format!("\n```{info}\n");
    let blocks = DOCUMENT.split(&begin).skip(1);
    blocks.map(|rest| Example::parse(rest.split_once("```").unwrap().0)).collect()
}

/// Sends the examples in order. `known` maps texts of the document to their values in this test. UUIDs and times that the server
/// chooses are added to it.
pub(crate) async fn replay(app: &TestApp, info: &str, known: &[(&str, String)]) {
    let known = known.iter().map(|(documented, actual)| ((*documented).to_owned(), actual.clone()));
    let mut known: HashMap<String, String> = known.collect();
    let examples = examples(info);
    assert!(!examples.is_empty(), "no examples in {info}");
    for example in examples {
        let target = with_known(&example.target, &known);
        let mut call = app.operator().call(example.method.clone(), &target);
        let body = with_known(&example.body, &known);
        for (name, value) in &example.headers {
            call = call.header(name, value);
        }
        if serde_json::from_str::<Value>(&body).is_ok() {
            call = call.header("content-type", "application/json");
        }
        let answer = call.body(body).send().await;
        assert_eq!(answer.status, example.status, "{} {target}: {answer:?}", example.method);
        let same = match serde_json::from_str(&example.answer) {
            Ok(documented) => compare(&documented, &answer.json(), &mut known),
            Err(_) if !messages(&example.answer).is_empty() => {
                compare(&messages(&example.answer).into(), &messages(answer.text()).into(), &mut known)
            }
            Err(_) if answer.text() == example.answer => Ok(()),
            Err(_) => Err(format!("{:?} is not {:?}", answer.text(), example.answer)),
        };
        same.unwrap_or_else(|difference| panic!("{} {target}: {difference}", example.method));
    }
}

/// Returns the messages of a stream, one a line, without those that come more or less often. Empty if this is no stream.
fn messages(text: &str) -> Vec<Value> {
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let mut messages = lines.unwrap_or_default();
    messages.retain(|message| {
        !["Downloading", "Pushing"].map(|status| json!(status)).contains(&message["payload"]["status"])
    });
    messages
}

fn with_known(text: &str, known: &HashMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (documented, actual)| text.replace(documented, actual))
}

fn compare(documented: &Value, actual: &Value, known: &mut HashMap<String, String>) -> Result<(), String> {
    let differ = || Err(format!("the answer has {actual}, the document {documented}"));
    match (documented, actual) {
        (Value::String(text), _) if text == ANYTHING => Ok(()),
        (Value::Object(members), Value::Object(actual)) => {
            let is_whole = !members.contains_key(ANYTHING);
            if is_whole && members.len() != actual.len() {
                return differ();
            }
            members.iter().filter(|(name, _)| *name != ANYTHING).try_for_each(|(name, value)| {
                compare(value, actual.get(name).unwrap_or(&Value::Null), known)
                    .map_err(|difference| format!("{name}: {difference}"))
            })
        }
        (Value::Array(items), Value::Array(actual)) if items.len() == actual.len() => {
            items.iter().zip(actual).try_for_each(|(item, actual)| compare(item, actual, known))
        }
        (Value::String(text), Value::String(actual)) if with_known(text, known) == *actual => Ok(()),
        (Value::String(text), Value::String(actual))
            if is_chosen(text, known) && is_chosen(actual, known) =>
        {
            known.insert(text.clone(), actual.clone());
            Ok(())
        }
        _ if documented == actual => Ok(()),
        _ => differ(),
    }
}

/// Returns whether the text is one that the server chooses, and has no known value yet.
fn is_chosen(text: &str, known: &HashMap<String, String>) -> bool {
    let is_time = text.len() == "2026-12-01T01:18:04.865Z".len() && text.ends_with('Z') && text.contains('T');
    !known.contains_key(text) && (is_time || uuid::Uuid::parse_str(text).is_ok())
}
