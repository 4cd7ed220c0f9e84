// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Index types: how a member of an object is converted to a column and back.
//!
//! Moray 2.6's `ip`, `mac`, `subnet` and range types are not supported: a bucket that uses one is rejected. Arrays are stored as
//! JSON text. Unlike Moray, which loses an empty string or a leading blank inside an array because of PostgreSQL's literal
//! syntax, this stores elements exactly.

use rusqlite::types::{Value as Column, ValueRef};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::error::{MorayError, Result};
use super::js;

/// The type of one value of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Number,
    Boolean,
    Date,
    Uuid,
}

/// The type of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexType {
    /// The type of its values.
    pub(crate) scalar: Scalar,
    /// Whether it holds several values.
    pub(crate) array: bool,
    /// Name on the wire.
    pub(crate) name: &'static str,
}

const TYPES: [IndexType; 9] = [
    IndexType { scalar: Scalar::String, array: false, name: "string" },
    IndexType { scalar: Scalar::Number, array: false, name: "number" },
    IndexType { scalar: Scalar::Boolean, array: false, name: "boolean" },
    IndexType { scalar: Scalar::Date, array: false, name: "date" },
    IndexType { scalar: Scalar::Uuid, array: false, name: "uuid" },
    IndexType { scalar: Scalar::String, array: true, name: "[string]" },
    IndexType { scalar: Scalar::Number, array: true, name: "[number]" },
    IndexType { scalar: Scalar::Boolean, array: true, name: "[boolean]" },
    IndexType { scalar: Scalar::Date, array: true, name: "[date]" },
];

impl IndexType {
    /// Returns the type called `name`, if it is supported.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        TYPES.into_iter().find(|kind| kind.name == name)
    }

    /// Returns the names of the supported types as a JSON array.
    pub(crate) fn names() -> String {
        Value::from(TYPES.map(|kind| kind.name).to_vec()).to_string()
    }

    /// Returns the SQL type of the column.
    pub(crate) fn sql(self) -> &'static str {
        match (self.array, self.scalar) {
            (true, _) | (false, Scalar::String | Scalar::Uuid) => "TEXT",
            (false, Scalar::Number) => "REAL",
            (false, Scalar::Boolean | Scalar::Date) => "INTEGER",
        }
    }

    /// Converts `value` to a value of `index`'s column. A null, and a number that is NaN, become NULL.
    pub(crate) fn encode(self, index: &str, value: &Value) -> Result<Column> {
        if value.is_null() {
            return Ok(Column::Null);
        }
        if !self.array {
            return Ok(match self.element(index, value)? {
                Value::Null => Column::Null,
                Value::Bool(flag) => Column::Integer(i64::from(flag)),
                Value::Number(number) if self.scalar == Scalar::Date => {
                    Column::Integer(number.as_i64().unwrap_or_default())
                }
                Value::Number(number) => Column::Real(number.as_f64().unwrap_or(f64::NAN)),
                Value::String(text) => Column::Text(text),
                other => Column::Text(other.to_string()),
            });
        }
        let elements = match value {
            Value::Array(items) => {
                items.iter().map(|item| self.element(index, item)).collect::<Result<Vec<_>>>()?
            }
            single => vec![self.element(index, single)?],
        };
        Ok(Column::Text(Value::from(elements).to_string()))
    }

    /// Converts one value to the stored form: text, number, boolean, or milliseconds for a date.
    fn element(self, index: &str, value: &Value) -> Result<Value> {
        let unfit = || MorayError::InvalidIndexType { index: index.to_owned(), kind: self.name.to_owned() };
        Ok(match self.scalar {
            Scalar::String => Value::String(js::to_text(value)),
            Scalar::Number => match value {
                Value::Number(number) => Value::Number(number.clone()),
                other => js::number(js::parse_float(&js::to_text(other))),
            },
            Scalar::Boolean => Value::Bool(parse_boolean(&js::to_text(value)).ok_or_else(unfit)?),
            Scalar::Date => Value::from(parse_date(&js::to_text(value)).ok_or_else(unfit)?),
            Scalar::Uuid => Value::String(parse_uuid(&js::to_text(value)).ok_or_else(unfit)?),
        })
    }

    /// Converts a column back to a member. Returns `None` for NULL.
    pub(crate) fn decode(self, column: ValueRef<'_>) -> Result<Option<Value>> {
        let stored = match column {
            ValueRef::Null => return Ok(None),
            ValueRef::Integer(number) if self.scalar == Scalar::Boolean => Value::Bool(number != 0),
            ValueRef::Integer(number) => Value::from(number),
            ValueRef::Real(double) => js::number(double),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                if self.array { serde_json::from_str(&text)? } else { Value::String(text.into_owned()) }
            }
        };
        Ok(Some(if self.scalar == Scalar::Date { dates_to_text(stored) } else { stored }))
    }
}

fn dates_to_text(stored: Value) -> Value {
    match stored {
        Value::Array(items) => items.into_iter().map(dates_to_text).collect(),
        Value::Number(millis) => millis.as_i64().and_then(date_text).map_or(Value::Null, Value::String),
        other => other,
    }
}

/// Parses `true` and `false` in any case.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Parses a date in ISO 8601, with or without time and zone, to milliseconds since the epoch.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Some(date.midnight().assume_utc().unix_timestamp() * 1000);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Formats milliseconds since the epoch as ISO 8601 with three decimals and `Z`, like `Date.toISOString`.
pub(crate) fn date_text(millis: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()?;
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.to_offset(UtcOffset::UTC).format(format).ok()
}

/// Parses a UUID and returns it in lower case with hyphens.
pub(crate) fn parse_uuid(text: &str) -> Option<String> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(|uuid| uuid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(name: &str) -> IndexType {
        IndexType::from_name(name).unwrap()
    }

    fn round_trip(name: &str, value: Value) -> Option<Value> {
        let column = kind(name).encode("x", &value).unwrap();
        kind(name).decode(ValueRef::from(&column)).unwrap()
    }

    #[test]
    fn the_column_changes_the_type_of_what_was_stored() {
        assert_eq!(round_trip("string", json!(5)), Some(json!("5")));
        assert_eq!(round_trip("string", json!(true)), Some(json!("true")));
        assert_eq!(round_trip("number", json!("12px")), Some(json!(12)));
        assert_eq!(round_trip("number", json!("px")), None);
        assert_eq!(round_trip("boolean", json!("TRUE")), Some(json!(true)));
        assert_eq!(round_trip("date", json!("2020-01-02")), Some(json!("2020-01-02T00:00:00.000Z")));
        assert_eq!(
            round_trip("[date]", json!(["2020-01-02T03:04:05+01:00"])),
            Some(json!(["2020-01-02T02:04:05.000Z"]))
        );
        assert_eq!(round_trip("string", Value::Null), None);
    }

    #[test]
    fn a_scalar_under_an_array_index_is_one_element() {
        assert_eq!(round_trip("[string]", json!("a")), Some(json!(["a"])));
        assert_eq!(round_trip("[number]", json!([1, 2.5])), Some(json!([1, 2.5])));
        assert_eq!(round_trip("[string]", json!([" a", ""])), Some(json!([" a", ""])));
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        let error = kind("boolean").encode("on", &json!("maybe")).unwrap_err();
        assert_eq!(error.name(), "InvalidIndexTypeError");
        assert_eq!(error.to_string(), "index(on) is of type boolean");
        assert!(kind("date").encode("d", &json!("yesterday")).is_err());
        assert!(kind("uuid").encode("u", &json!("12")).is_err());
    }
}
