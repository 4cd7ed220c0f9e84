// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `sql`: runs a statement from the caller, which may only read.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Statement, Transaction};
use serde_json::{Map, Value};

use super::buckets;
use crate::moray::bucket::{quote, table};
use crate::moray::error::{MorayError, Result};

/// Maximum number of rows in an answer.
const MAX_ROWS: usize = 10_000;
/// Limits of PostgreSQL, in bytes.
const MAX_CHANNEL: usize = 63;
const MAX_PAYLOAD: usize = 7_999;

/// Registers `pg_notify(channel, payload)`. Clients cannot listen here, so a notification has no receiver. In PostgreSQL a
/// notification without listeners has none either.
pub(super) fn register(connection: &Connection) -> Result<()> {
    connection.create_scalar_function("pg_notify", 2, FunctionFlags::SQLITE_UTF8, |context| {
        let refuse = |why: &str| Err(rusqlite::Error::UserFunctionError(why.into()));
        let channel = context.get_raw(0).as_str().map_or(0, str::len);
        let payload = context.get_raw(1).as_str().map_or(0, str::len);
        match (channel, payload) {
            (0, _) => refuse("channel name cannot be empty"),
            (channel, _) if channel > MAX_CHANNEL => refuse("channel name too long"),
            (_, payload) if payload > MAX_PAYLOAD => refuse("payload string too long"),
            _ => Ok(String::new()),
        }
    })?;
    Ok(())
}

/// Returns the rows of a statement. Buckets are tables of the same name, as in Moray's database; `$1` is the first value.
pub(crate) fn sql(transaction: &Transaction<'_>, statement: &str, values: &[Value]) -> Result<Vec<Value>> {
    // The views disappear with the transaction, which is never committed.
    for bucket in buckets::names(transaction)? {
        let view = format!("CREATE TEMP VIEW {} AS SELECT * FROM {}", quote(&bucket), table(&bucket));
        transaction.execute(&view, [])?;
    }
    let mut statement = transaction.prepare(statement)?;
    // A statement without columns could end the transaction.
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(MorayError::Internal("cannot change data in a read-only transaction".to_owned()));
    }
    bind(&mut statement, values)?;
    let names: Vec<String> = statement.column_names().into_iter().map(column_name).collect();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == MAX_ROWS {
            return Err(MorayError::Internal(format!("more than {MAX_ROWS} rows")));
        }
        let mut object = Map::new();
        for (at, name) in names.iter().enumerate() {
            object.insert(name.clone(), to_wire(row.get_ref(at)?));
        }
        found.push(Value::Object(object));
    }
    Ok(found)
}

/// PostgreSQL names an unnamed column after its function.
fn column_name(name: &str) -> String {
    name.split('(').next().unwrap_or(name).to_owned()
}

fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<()> {
    for at in 1..=statement.parameter_count() {
        let number =
            statement.parameter_name(at).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        let Some(value) = value else {
            return Err(MorayError::Internal("a parameter of the statement has no value".to_owned()));
        };
        let value = match value {
            Value::Null => SqlValue::Null,
            Value::Bool(flag) => SqlValue::Integer(i64::from(*flag)),
            Value::Number(number) => match number.as_i64() {
                Some(number) => SqlValue::Integer(number),
                None => SqlValue::Real(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => SqlValue::Text(text.clone()),
            other => SqlValue::Text(other.to_string()),
        };
        statement.raw_bind_parameter(at, value)?;
    }
    Ok(())
}

/// Converts a value. Moray's driver sends `BIGINT` and `NUMERIC` as text, because JavaScript would round them.
fn to_wire(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.to_string().into(),
        ValueRef::Real(number) => number.to_string().into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::moray::store::{Expected, create_bucket, put_object};

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        buckets::create_table(&connection).unwrap();
        register(&connection).unwrap();
        let transaction = connection.transaction().unwrap();
        let config = json!({"index": {"state": {"type": "string"}, "size": {"type": "number"}}});
        create_bucket(&transaction, "jobs", config.as_object().unwrap()).unwrap();
        for (key, state) in [("a", "failed"), ("b", "queued"), ("c", "queued")] {
            let value = json!({"state": state, "size": 7});
            put_object(&transaction, "jobs", key, value.as_object().unwrap(), &Expected::Anything).unwrap();
        }
        transaction.commit().unwrap();
        connection
    }

    fn run(connection: &mut Connection, statement: &str, values: &[Value]) -> Result<Vec<Value>> {
        sql(&connection.transaction()?, statement, values)
    }

    #[test]
    fn buckets_are_tables_and_numbers_are_texts() {
        let mut connection = database();
        let counts = "select count(_id), state from jobs where size < $2 and state <> $1 group by state;";
        for _ in 0..2 {
            let rows = run(&mut connection, counts, &[json!("failed"), json!(8)]).unwrap();
            assert_eq!(rows, [json!({"count": "2", "state": "queued"})]);
        }
        assert!(run(&mut connection, "select * from nothing", &[]).is_err());
        assert!(run(&mut connection, counts, &[json!("failed")]).is_err());
    }

    #[test]
    fn nothing_is_changed() {
        let mut connection = database();
        for statement in [
            "DELETE FROM bucket_jobs",
            "DROP TABLE bucket_jobs",
            "select 1; DELETE FROM bucket_jobs",
            "COMMIT",
        ] {
            // A second statement is ignored or rejected.
            let _ = run(&mut connection, statement, &[]);
            let rows = run(&mut connection, "SELECT count(*) FROM jobs", &[]).unwrap();
            assert_eq!(rows, [json!({"count": "3"})], "{statement}");
        }
    }

    #[test]
    fn notifications_are_checked_and_reach_nobody() {
        let mut connection = database();
        let mut notify = |channel: &str, payload: &str| {
            run(&mut connection, "select pg_notify($1, $2)", &[channel.into(), payload.into()])
        };
        assert_eq!(notify("c", "{}").unwrap(), [json!({"pg_notify": ""})]);
        assert!(notify("", "{}").is_err());
        assert!(notify(&"c".repeat(64), "{}").is_err());
        assert!(notify("c", &"x".repeat(8_000)).is_err());
    }
}
