// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;

use super::client::Client;
use super::table::{cell, print_json, table};
use crate::console;

const COLUMNS: [(&str, &str); 5] =
    [("IMAGE", "uuid"), ("FILE", "file"), ("STORAGE", "storage"), ("PROBLEM", "problem"), ("TIME", "time")];

/// Prints the findings of the service's scrubber: a table, and below it the total if the table is incomplete; or the
/// content of `/state` as JSON.
pub(super) fn print(client: &Client, json: bool) -> Result<(), String> {
    let state = client.get("/state")?;
    let findings = state.get("findings").ok_or("the service has no scrubber")?;
    if json {
        return print_json(findings);
    }
    let findings = findings.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = table(COLUMNS, findings);
    let counts = state.get("findingCounts").unwrap_or(&Value::Null);
    let all = ["damaged", "orphans"].map(|kind| counts.get(kind).and_then(Value::as_u64).unwrap_or_default());
    if all.iter().sum::<u64>() > findings.len() as u64 {
        let [damaged, orphans] = ["damaged", "orphans"].map(|kind| cell(counts, kind));
        text.push_str(&format!("\n{damaged} files are damaged, {orphans} have no image\n"));
    }
    console::print(text)
}
