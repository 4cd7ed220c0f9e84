use serde_json::Value;

use super::client::Client;

const HEADERS: [&str; 7] = ["NAME", "STATE", "DONE", "PENDING", "FAILURES", "LAST-SUCCESS", "DETAIL"];

/// Prints the workers of the service: a table, and below it what has last gone wrong; or what `/state` says of them.
pub(super) fn print(client: &Client, json: bool) -> Result<(), String> {
    let state = client.get("/state")?;
    let workers = state.get("workers").ok_or("the service does not tell of its workers")?;
    if json {
        println!("{}", serde_json::to_string_pretty(workers).map_err(|error| error.to_string())?);
        return Ok(());
    }
    let workers = workers.as_array().map(Vec::as_slice).unwrap_or_default();
    print!("{}", table(workers));
    for worker in workers {
        if let Some(error) = worker.get("lastError").filter(|error| !error.is_null()) {
            println!("\n{} failed {}: {}", cell(worker, "name"), cell(error, "time"), cell(error, "message"));
        }
    }
    Ok(())
}

fn table(workers: &[Value]) -> String {
    let keys = ["name", "state", "done", "pending", "failures", "lastSuccess", "detail"];
    let rows: Vec<[String; 7]> = workers.iter().map(|worker| keys.map(|key| cell(worker, key))).collect();
    let headers = HEADERS.map(str::to_owned);
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

/// A value as a cell has it: a dash for nothing. Controls would act on the terminal.
fn cell(object: &Value, key: &str) -> String {
    match object.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.replace(char::is_control, " "),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let worker = |name: &str, pending: Value| json!({"name": name, "state": "waiting", "done": 12, "pending": pending, "failures": 0, "lastSuccess": null});
        let text = table(&[worker("sweep", Value::Null), worker("archive", json!(7))]);
        let expected = "\
NAME     STATE    DONE  PENDING  FAILURES  LAST-SUCCESS  DETAIL
sweep    waiting  12    -        0         -             -
archive  waiting  12    7        0         -             -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_server_says_cannot_control_the_terminal() {
        assert_eq!(cell(&json!({"name": "a\u{1b}[2Jb\nc"}), "name"), "a [2Jb c");
    }
}
