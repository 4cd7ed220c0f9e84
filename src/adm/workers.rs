// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::client::Client;
use super::table::{last_failure, print_json, table};
use crate::console;

const COLUMNS: [(&str, &str); 7] = [
    ("NAME", "name"),
    ("STATE", "state"),
    ("DONE", "done"),
    ("PENDING", "pending"),
    ("FAILURES", "failures"),
    ("LAST-SUCCESS", "lastSuccess"),
    ("DETAIL", "detail"),
];

/// Prints the workers of the service: a table, and below it their last errors; or their part of `/state`.
pub(super) fn print(client: &Client, json: bool) -> Result<(), String> {
    let state = client.get("/state")?;
    let workers = state.get("workers").ok_or("the service does not tell of its workers")?;
    if json {
        return print_json(workers);
    }
    let workers = workers.as_array().map(Vec::as_slice).unwrap_or_default();
    let failures: String = workers.iter().filter_map(last_failure).collect();
    console::print(table(COLUMNS, workers) + &failures)
}
