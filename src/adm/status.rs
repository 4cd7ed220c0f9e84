// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;

use super::client::Client;
use super::table::{cell, last_failure, print_json, table};
use crate::console;

const COLUMNS: [(&str, &str); 5] = [
    ("BACKEND", "name"),
    ("STATE", "state"),
    ("LATENCY-MS", "latency"),
    ("VERSION", "version"),
    ("DETAIL", "detail"),
];

/// Prints the status of the service and its backends: a table, and below it the last errors; or the answer to a deep
/// ping. Returns whether everything works.
pub(super) fn print(client: &Client, json: bool) -> Result<bool, String> {
    let (is_well, pong) = client.deep_ping()?;
    if json {
        print_json(&pong)?;
        return Ok(is_well);
    }
    let of_process = |key| cell(&pong, key);
    let process = format!(
        "imgapi {}, process {}: {}\n\n",
        of_process("version"),
        of_process("pid"),
        of_process("status")
    );
    let backends = pong.get("backends").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let failures: String = backends.iter().filter_map(last_failure).collect();
    console::print(process + &table(COLUMNS, backends) + &failures)?;
    Ok(is_well)
}
