// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;

use crate::console;

/// Formats objects as a table: a line of headers, then one line with the members `keys` of each object.
pub(super) fn table<const N: usize>(columns: [(&str, &str); N], objects: &[Value]) -> String {
    let rows: Vec<[String; N]> =
        objects.iter().map(|object| columns.map(|(_, key)| cell(object, key))).collect();
    let headers = columns.map(|(header, _)| header.to_owned());
    let lines = || std::iter::once(&headers).chain(&rows);
    let mut text = String::new();
    for line in lines() {
        let mut row = String::new();
        for (column, value) in line.iter().enumerate() {
            let width = lines().map(|line| line[column].chars().count()).max().unwrap_or_default();
            row.push_str(&format!("{value:width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// Formats a value for a cell, with a dash for nothing. Control characters are replaced, because a terminal would obey them.
pub(super) fn cell(object: &Value, key: &str) -> String {
    match object.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.replace(char::is_control, " "),
        Some(value) => value.to_string(),
    }
}

/// Returns the last error of a worker or a backend, below an empty line; `None` if there was none.
pub(super) fn last_failure(object: &Value) -> Option<String> {
    let error = object.get("lastError").filter(|error| !error.is_null())?;
    let (name, time, message) = (cell(object, "name"), cell(error, "time"), cell(error, "message"));
    Some(format!("\n{name} failed {time}: {message}\n"))
}

/// Prints a part of `/state` as JSON.
pub(super) fn print_json(value: &Value) -> Result<(), String> {
    console::print_line(serde_json::to_string_pretty(value).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let worker = |name: &str, pending: Value| json!({"name": name, "state": "waiting", "done": 12, "pending": pending});
        let columns = [("NAME", "name"), ("STATE", "state"), ("DONE", "done"), ("PENDING", "pending")];
        let text = table(columns, &[worker("sweep", Value::Null), worker("archive", json!(7))]);
        let expected = "\
NAME     STATE    DONE  PENDING
sweep    waiting  12    -
archive  waiting  12    7
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_server_says_cannot_control_the_terminal() {
        assert_eq!(cell(&json!({"name": "a\u{1b}[2Jb\nc"}), "name"), "a [2Jb c");
    }
}
