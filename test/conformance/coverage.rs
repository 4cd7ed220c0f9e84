// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules for the rows themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use regex::Regex;

use super::rows::Book;

type Test = fn(&Book) -> Result<(), Failed>;

/// Returns the tests of the table.
pub(crate) fn trials(book: &Arc<Book>) -> Vec<Trial> {
    let tests: [(&str, Test); 3] = [
        ("rows::every_difference_is_documented", differences_are_documented),
        ("rows::every_route_has_a_row", routes_have_rows),
        ("rows::no_two_rows_have_one_name", names_differ),
    ];
    let trial = |(name, test): (&str, Test)| {
        let book = Arc::clone(book);
        Trial::test(name, move || test(&book))
    };
    tests.into_iter().map(trial).collect()
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).expect("a document")
}

/// Checks that each row that differs from 4.13.1 names a line of the document, by the beginning of its first cell.
fn differences_are_documented(book: &Book) -> Result<(), Failed> {
    let text = document("compatibility.md");
    let cells: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    let documented = |difference: &str| cells.iter().any(|cell| cell.starts_with(difference));
    let missing = book.rows.iter().filter_map(|row| Some((row, row.difference.as_deref()?)));
    match missing.filter(|(_, difference)| !documented(difference)).map(|(row, _)| &row.name).next() {
        Some(name) => Err(format!("{name}: its difference is not in docs/compatibility.md").into()),
        None => Ok(()),
    }
}

/// Checks that every route in the document's table has a row. A row covers the routes that its steps request.
fn routes_have_rows(book: &Book) -> Result<(), Failed> {
    let request = Regex::new(r"`(?:GET` or `)?([A-Z]+) (/[^ `?]*)").expect("a pattern");
    let uuid = Regex::new(r"^\{[a-z]+\}$").expect("a pattern");
    let requested: BTreeSet<String> = book
        .rows
        .iter()
        .flat_map(|row| &row.steps)
        .map(|step| {
            let (method, target) = step.request.split_once(' ').unwrap_or_default();
            let path = target.split('?').next().unwrap_or_default();
            let parts: Vec<_> =
                path.split('/').map(|part| if uuid.is_match(part) { ":uuid" } else { part }).collect();
            format!("{method} {}", parts.join("/"))
        })
        .collect();
    let text = document("index.md");
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("| Name |"))
        .take_while(|line| line.starts_with('|'));
    let routes =
        table.filter_map(|line| request.captures(line)).map(|found| format!("{} {}", &found[1], &found[2]));
    let missing: Vec<_> = routes.filter(|route| !requested.contains(route)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("without a row: {missing:?}").into()) }
}

fn names_differ(book: &Book) -> Result<(), Failed> {
    let mut seen = BTreeSet::new();
    match book.rows.iter().find(|row| !seen.insert(&row.name)) {
        Some(row) => Err(format!("twice: {}", row.name).into()),
        None => Ok(()),
    }
}
