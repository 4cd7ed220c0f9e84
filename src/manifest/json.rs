// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! JSON text exactly as `JSON.stringify` prints it.
//!
//! Clients compare manifests and ETags byte for byte, and both servers may run side by side. The output differs from
//! that of `serde_json` in two ways: numbers (JavaScript has only doubles: `1.0` prints as `1`, `1e21` as `1e+21`), and
//! the order of members whose names are array indices (they come first, ascending).

use std::io;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use serde_json::{Map, Number, Value};

/// Returns the text of `JSON.stringify(value)`.
///
/// # Errors
/// A `Serialize` implementation fails; those of this room do not.
pub fn compact<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    render(value, CompactFormatter)
}

/// Returns the text of `JSON.stringify(value, null, 2)`.
///
/// # Errors
/// A `Serialize` implementation fails; those of this room do not.
pub fn pretty<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    render(value, PrettyFormatter::new())
}

/// Returns the text of `JSON.stringify(value, null, 4)`.
///
/// # Errors
/// A `Serialize` implementation fails; those of this room do not.
pub fn indented_by_four<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    render(value, PrettyFormatter::with_indent(b"    "))
}

fn render<T: Serialize + ?Sized, F: Formatter>(value: &T, layout: F) -> Result<String, serde_json::Error> {
    let mut text = Vec::with_capacity(1024);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, JsFormatter(layout)))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// A value whose objects are printed in JavaScript's member order.
#[derive(Debug, Clone, Copy)]
pub struct JsValue<'a>(pub &'a Value);

impl Serialize for JsValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(&JsValue(item)))?;
                seq.end()
            }
            Value::Object(members) => JsObject(members).serialize(serializer),
            scalar => scalar.serialize(serializer),
        }
    }
}

/// An object printed in JavaScript's member order.
#[derive(Debug, Clone, Copy)]
pub struct JsObject<'a>(pub &'a Map<String, Value>);

impl Serialize for JsObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        let mut indices: Vec<(u32, &String, &Value)> =
            self.0.iter().filter_map(|(name, value)| Some((array_index(name)?, name, value))).collect();
        indices.sort_unstable_by_key(|(index, ..)| *index);
        for (_, name, value) in &indices {
            map.serialize_entry(name, &JsValue(value))?;
        }
        for (name, value) in self.0 {
            if indices.is_empty() || array_index(name).is_none() {
                map.serialize_entry(name, &JsValue(value))?;
            }
        }
        map.end()
    }
}

/// Returns the number that a member name represents, if JavaScript treats it as an array index.
fn array_index(name: &str) -> Option<u32> {
    let canonical = name == "0" || (name.bytes().all(|b| b.is_ascii_digit()) && !name.starts_with('0'));
    if !canonical {
        return None;
    }
    name.parse().ok().filter(|index| *index != u32::MAX)
}

/// Returns a JSON number as JavaScript prints it.
pub fn number_text(number: &Number) -> String {
    number.as_f64().map_or_else(|| number.to_string(), double_text)
}

/// ECMAScript `Number::toString` of a finite double.
fn double_text(number: f64) -> String {
    ryu_js::Buffer::new().format_finite(number).to_owned()
}

/// Another formatter's layout with JavaScript's numbers.
struct JsFormatter<F>(F);

/// Forwards the layout methods of `Formatter` to the wrapped formatter.
macro_rules! delegate {
    ($( $method:ident ( $($arg:ident : $kind:ty)? ) ),+ $(,)?) => {
        $(
            fn $method<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $arg: $kind)?) -> io::Result<()> {
                self.0.$method(writer $(, $arg)?)
            }
        )+
    };
}

impl<F: Formatter> Formatter for JsFormatter<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(double_text(value).as_bytes())
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value < 1 << 53 {
            return self.0.write_u64(writer, value);
        }
        // JavaScript rounded the number when it parsed it.
        writer.write_all(double_text(value as f64).as_bytes())
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() < 1 << 53 {
            return self.0.write_i64(writer, value);
        }
        writer.write_all(double_text(value as f64).as_bytes())
    }

    delegate! {
        begin_array(), end_array(), begin_array_value(first: bool), end_array_value(),
        begin_object(), end_object(), begin_object_key(first: bool), end_object_key(),
        begin_object_value(), end_object_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn js(text: &str) -> String {
        compact(&JsValue(&serde_json::from_str(text).unwrap())).unwrap()
    }

    #[test]
    fn numbers_print_as_in_javascript() {
        for (json, expected) in [
            ("1.0", "1"),
            ("1e3", "1000"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("0.1", "0.1"),
            ("-12.5", "-12.5"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("123456789012345680000", "123456789012345680000"),
            ("0.000001", "0.000001"),
            ("0.0000012", "0.0000012"),
            ("1e-7", "1e-7"),
            ("1.25e-9", "1.25e-9"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740991", "9007199254740991"),
            ("9007199254740993", "9007199254740992"),
            ("-9007199254740993", "-9007199254740992"),
            ("18446744073709551615", "18446744073709552000"),
            ("9080214691143124906", "9080214691143125000"),
            ("42", "42"),
            ("774607477629195.25", "774607477629195.2"),
            ("100", "100"),
            ("100.5", "100.5"),
        ] {
            assert_eq!(js(json), expected, "{json}");
        }
    }

    #[test]
    fn index_names_come_first_in_ascending_order() {
        assert_eq!(
            js(r#"{"b":1,"10":2,"2":{"1":0,"0":1},"01":3,"4294967295":4,"a":5}"#),
            r#"{"2":{"0":1,"1":0},"10":2,"b":1,"01":3,"4294967295":4,"a":5}"#
        );
    }

    #[test]
    fn strings_escape_only_what_javascript_escapes() {
        let json = r#""\u0001\b\t\n\f\r\"\\\/\u007f\u2028é😀""#;
        assert_eq!(js(json), "\"\\u0001\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}\u{2028}é😀\"");
    }

    #[test]
    fn the_two_space_form_keeps_empty_containers_on_one_line() {
        let value: Value = serde_json::from_str(r#"{"a":[],"b":{},"c":[1,{"d":2.0}]}"#).unwrap();
        assert_eq!(
            pretty(&JsValue(&value)).unwrap(),
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": 2\n    }\n  ]\n}"
        );
    }
}
