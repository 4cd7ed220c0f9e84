// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The JSON in the payload of a frame: `{"m": {"uts": …, "name": …}, "d": …}`.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ProtocolError;

/// The payload of a frame.
///
/// The elements of `d` stay JSON texts, so that the caller, who knows their type, parses them only once.
#[derive(Debug)]
pub struct Envelope {
    /// `m.name`: the RPC method. Absent if the peer sent none, or one that is not a string. A server answers such a request with
    /// an error and keeps the connection.
    pub method: Option<String>,
    /// `d`: the arguments of a request, or objects of a reply.
    pub items: Vec<Box<RawValue>>,
}

impl Envelope {
    /// Parses the payload of a DATA or END frame.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidJson`]; [`ProtocolError::BadData`] if `m` is not an object or `d` is not an array.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut wire: WireIn<Vec<Box<RawValue>>> = parse_object(payload, ProtocolError::BadData)?;
        let method = match wire.m.remove("name") {
            Some(Value::String(name)) => Some(name),
            _ => None,
        };
        Ok(Self { method, items: wire.d })
    }

    /// Returns the objects of a reply: `items` without the nulls that a sharding front end appends.
    pub fn into_objects(self) -> impl Iterator<Item = Box<RawValue>> {
        self.items.into_iter().filter(|item| item.get() != "null")
    }
}

/// `d` of an ERROR frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ErrorPayload {
    /// Class of the error, for programs to decide by.
    pub name: String,
    /// Message for people.
    pub message: String,
    /// Details in the format of Moray's own errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    /// Details in the format of newer error libraries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Value>,
    /// The single errors if the failure is a list of errors. Elements without a name or a message are left out.
    #[serde(default, deserialize_with = "well_formed_errors", skip_serializing_if = "Vec::is_empty")]
    pub ase_errors: Vec<ErrorPayload>,
}

impl ErrorPayload {
    /// An error without details.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), ..Self::default() }
    }

    /// Parses the payload of an ERROR frame.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidJson`]; [`ProtocolError::BadError`] if `d` has no string `name` and `message`.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let wire: WireIn<Map<String, Value>> = parse_object(payload, ProtocolError::BadError)?;
        serde_json::from_value(Value::Object(wire.d))
            .map_err(|error| ProtocolError::BadError(error.to_string()))
    }
}

/// Encodes a payload with the given `d`. `uts` is the current time in microseconds; no peer checks it.
pub(crate) fn encode(method: &str, d: &(impl Serialize + ?Sized)) -> serde_json::Result<Bytes> {
    #[derive(Serialize)]
    struct MetaOut<'a> {
        uts: u64,
        name: &'a str,
    }
    #[derive(Serialize)]
    struct WireOut<'a, D: Serialize + ?Sized> {
        m: MetaOut<'a>,
        d: &'a D,
    }
    serde_json::to_vec(&WireOut { m: MetaOut { uts: microseconds_now(), name: method }, d }).map(Bytes::from)
}

fn microseconds_now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
struct WireIn<D> {
    m: Map<String, Value>,
    d: D,
}

fn well_formed_errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ErrorPayload>, D::Error> {
    let Value::Array(errors) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(errors.into_iter().filter_map(|error| serde_json::from_value(error).ok()).collect())
}

/// Parses a JSON object. Serde also reads structs from arrays, which the protocol does not allow.
fn parse_object<'a, T: Deserialize<'a>>(
    payload: &'a [u8],
    otherwise: fn(String) -> ProtocolError,
) -> Result<T, ProtocolError> {
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
    serde_json::from_slice(payload)
        .map_err(|error| {
            if error.is_data() {
                otherwise(error.to_string())
            } else {
                ProtocolError::InvalidJson(error.to_string())
            }
        })
        .and_then(
            |value| {
                if first == Some(&b'{') { Ok(value) } else { Err(otherwise("not an object".to_owned())) }
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Envelope, ProtocolError> {
        Envelope::parse(text.as_bytes())
    }

    #[test]
    fn nulls_are_arguments_but_not_objects() {
        let envelope = parse(r#"{"m":{"name":"x"},"d":[null,{"a": 1},null]}"#).unwrap();
        assert_eq!(envelope.items.len(), 3);
        let objects: Vec<_> = envelope.into_objects().map(|object| object.get().to_owned()).collect();
        assert_eq!(objects, [r#"{"a": 1}"#]);
    }

    #[test]
    fn a_missing_method_is_not_the_end_of_the_connection() {
        assert_eq!(parse(r#"{"m":{"uts":1},"d":[]}"#).unwrap().method, None);
        assert_eq!(parse(r#"{"m":{"name":7},"d":[],"more":true}"#).unwrap().method, None);
        assert_eq!(
            parse(r#"{"m":{"name":"ping","uts":"x"},"d":[]}"#).unwrap().method.as_deref(),
            Some("ping")
        );
    }

    #[test]
    fn what_is_not_an_envelope_is_refused() {
        for text in [
            r#"{"d":[]}"#,
            r#"{"m":null,"d":[]}"#,
            r#"{"m":["x"],"d":[]}"#,
            r#"{"m":{},"d":{}}"#,
            r#"{"m":{}}"#,
            r#"[{},[]]"#,
            "null",
        ] {
            assert!(matches!(parse(text), Err(ProtocolError::BadData(_))), "{text}");
        }
        for text in ["", "{", "\u{0}", "[", r#"{"m":{},"d":[]} x"#] {
            assert!(matches!(parse(text), Err(ProtocolError::InvalidJson(_))), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(r#"{{"m":{{"x":{}1{}}},"d":[]}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
        let deep = format!(
            r#"{{"m":{{}},"d":{{"name":"","message":"","info":{}1{}}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(ErrorPayload::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_error_keeps_its_details() {
        let text = r#"{"m":{"name":"x"},"d":{"name":"MultiError","message":"two","stack":"old","context":{"a":1},
            "ase_errors":[{"name":"InnerError","message":"one"},{"message":"nameless"},7]}}"#;
        let error = ErrorPayload::parse(text.as_bytes()).unwrap();
        assert_eq!(error.context, Some(serde_json::json!({"a": 1})));
        assert_eq!(error.ase_errors, [ErrorPayload::new("InnerError", "one")]);
    }

    #[test]
    fn an_error_needs_a_name_and_a_message() {
        for d in [r#"{"name":"x"}"#, r#"{"name":"x","message":1}"#, "[]", r#"["x","y"]"#, "null"] {
            let text = format!(r#"{{"m":{{}},"d":{d}}}"#);
            assert!(matches!(ErrorPayload::parse(text.as_bytes()), Err(ProtocolError::BadError(_))), "{d}");
        }
    }
}
