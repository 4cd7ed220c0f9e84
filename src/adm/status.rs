use serde_json::Value;

use super::client::Client;
use super::table::{cell, print_json, table};

const COLUMNS: [(&str, &str); 5] = [
    ("BACKEND", "name"),
    ("STATE", "state"),
    ("LATENCY-MS", "latency"),
    ("VERSION", "version"),
    ("DETAIL", "detail"),
];

/// Prints how the service and its backends are: a table, and below it what has last gone wrong; or what a deep ping
/// answers. Returns whether all is well.
pub(super) fn print(client: &Client, json: bool) -> Result<bool, String> {
    let (is_well, pong) = client.deep_ping()?;
    if json {
        print_json(&pong)?;
        return Ok(is_well);
    }
    let of_process = |key| cell(&pong, key);
    println!("imgapi {}, process {}: {}\n", of_process("version"), of_process("pid"), of_process("status"));
    let backends = pong.get("backends").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    print!("{}", table(COLUMNS, backends));
    for backend in backends {
        if let Some(error) = backend.get("lastError").filter(|error| !error.is_null()) {
            println!(
                "\n{} failed {}: {}",
                cell(backend, "name"),
                cell(error, "time"),
                cell(error, "message")
            );
        }
    }
    Ok(is_well)
}
