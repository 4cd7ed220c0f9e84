// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::client::Client;
use super::table::{print_json, table};
use crate::console;

const COLUMNS: [(&str, &str); 5] =
    [("KIND", "kind"), ("NAME", "name"), ("BYTES", "bytes"), ("STARTED", "started"), ("REQ-ID", "reqId")];

/// Prints the imports from image servers of other kinds that the service is carrying out: a table, or their part of `/state`.
pub(super) fn print(client: &Client, json: bool) -> Result<(), String> {
    let state = client.get("/state")?;
    let imports = state.get("imports").ok_or("the service does not tell of its imports")?;
    if json {
        return print_json(imports);
    }
    console::print(table(COLUMNS, imports.as_array().map(Vec::as_slice).unwrap_or_default()))
}
