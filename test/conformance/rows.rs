// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads the rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::language::{Mode, Row, Setup, Step};

/// Members of a row that do not belong to its step.
const OF_THE_ROW: [&str; 7] = ["rule", "modes", "given", "stored", "difference", "steps", "cases"];

/// All rows and setups.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) rows: Vec<Row>,
    pub(crate) setups: BTreeMap<String, Setup>,
}

/// A file of rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Default modes of the rows.
    modes: Option<Vec<Mode>>,
    row: Vec<Table>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test/conformance")
}

/// Reads every file. Panics at the first error in a file, and names its place.
pub(crate) fn load() -> Book {
    let setups = parse(&folder().join("setups.toml"));
    let mut files: Vec<_> =
        fs::read_dir(folder().join("rows")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let rows = files.iter().flat_map(|path| {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let File { modes, row } = parse(path);
        let modes = modes.unwrap_or_else(|| Mode::ALL.to_vec());
        row.into_iter().flat_map(move |table| cases(&stem, &modes, &table)).collect::<Vec<_>>()
    });
    Book { rows: rows.collect(), setups }
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns one row for each case, with the members of the case replacing those of the row.
fn cases(file: &str, modes: &[Mode], table: &Table) -> Vec<Row> {
    let rule =
        table.get("rule").and_then(Value::as_str).unwrap_or_else(|| panic!("{file}: no rule: {table:?}"));
    let name = format!("{file}: {rule}");
    let Some(cases) = table.get("cases") else { return vec![row(name, modes, table.clone())] };
    let cases = cases.as_array().unwrap_or_else(|| panic!("{name}: cases are an array"));
    let numbered = cases.iter().enumerate();
    numbered
        .map(|(index, case)| {
            let name = format!("{name} ({})", index + 1);
            let case = case.as_table().unwrap_or_else(|| panic!("{name}: a case is a table"));
            let mut whole = table.clone();
            whole.extend(case.clone());
            row(name, modes, whole)
        })
        .collect()
}

fn row(name: String, modes: &[Mode], mut table: Table) -> Row {
    let own: Table = OF_THE_ROW.iter().filter_map(|key| table.remove_entry(*key)).collect();
    let steps = match own.get("steps") {
        Some(steps) if table.is_empty() => member::<Vec<Step>>(&name, steps),
        Some(_) => panic!("{name}: a row with steps has no step of its own: {table:?}"),
        None => vec![member(&name, &Value::Table(table))],
    };
    Row {
        modes: own.get("modes").map_or_else(|| modes.to_vec(), |modes| member(&name, modes)),
        given: own.get("given").map(|given| member(&name, given)),
        stored: own.get("stored").is_some_and(|stored| member(&name, stored)),
        difference: own.get("difference").map(|difference| member(&name, difference)),
        steps,
        name,
    }
}

fn member<T: for<'a> Deserialize<'a>>(name: &str, value: &Value) -> T {
    value.clone().try_into().unwrap_or_else(|error| panic!("{name}: {error}"))
}
