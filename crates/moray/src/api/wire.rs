// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The wire form of the options.
//!
//! An absent option differs from a null one: Moray rejects null options, and a null `etag` has a meaning of its own.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::options::{CallOptions, DeleteManyOptions, FindOptions, Order, Precondition, Sort};
use crate::error::Error;
use crate::fast;

/// Options of all methods. Members that a method does not have stay absent.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireOptions<'a> {
    #[serde(rename = "req_id", serialize_with = "as_text")]
    req_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<WireEtag<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_cache: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_limit: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort: Vec<WireSort<'a>>,
    #[serde(rename = "no_count", skip_serializing_if = "Option::is_none")]
    no_count: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_indexes: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deep: Option<bool>,
}

impl<'a> WireOptions<'a> {
    pub(super) fn new(options: &CallOptions) -> Self {
        Self { req_id: options.req_id.unwrap_or_else(Uuid::new_v4), ..Self::default() }
    }

    /// Options of a `getObject` that bypasses the object cache. Each server process has a cache of its own, up to 30 s old.
    pub(super) fn uncached(options: &CallOptions) -> Self {
        Self { no_cache: Some(true), ..Self::new(options) }
    }

    pub(super) fn conditional(precondition: &'a Precondition, options: &CallOptions) -> Self {
        Self { etag: WireEtag::new(precondition), ..Self::new(options) }
    }

    pub(super) fn find(options: &'a FindOptions) -> Self {
        Self {
            limit: options.limit.map(Limit),
            no_limit: options.no_limit.then_some(true),
            offset: options.offset,
            sort: options.sort.iter().map(WireSort::from).collect(),
            no_count: options.no_count.then_some(true),
            require_indexes: options.require_indexes.then_some(true),
            ..Self::new(&options.call)
        }
    }

    pub(super) fn delete_many(options: &DeleteManyOptions) -> Self {
        Self {
            limit: options.limit.map(Limit),
            no_limit: options.no_limit.then_some(true),
            ..Self::new(&options.call)
        }
    }
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// The `etag` option where there is a precondition: a text, or null for "must not exist".
pub(super) struct WireEtag<'a>(Option<&'a str>);

impl<'a> WireEtag<'a> {
    pub(super) fn new(precondition: &'a Precondition) -> Option<Self> {
        match precondition {
            Precondition::Any => None,
            Precondition::MustNotExist => Some(Self(None)),
            Precondition::Etag(etag) => Some(Self(Some(etag))),
        }
    }
}

impl Serialize for WireEtag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A limit. Moray treats the number 0 as absent, but not the text "0".
struct Limit(u64);

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_str("0"),
            limit => serializer.serialize_u64(limit),
        }
    }
}

#[derive(Serialize)]
struct WireSort<'a> {
    attribute: &'a str,
    order: Order,
}

impl<'a> From<&'a Sort> for WireSort<'a> {
    fn from(sort: &'a Sort) -> Self {
        Self { attribute: sort.attribute.as_str(), order: sort.order }
    }
}

/// Encodes the payload of a request with its arguments.
pub(super) fn payload(method: &str, arguments: &impl Serialize) -> Result<Bytes, Error> {
    fast::encode(method, arguments).map_err(|error| Error::Serialize(error.to_string()))
}

/// Encodes the payload of a `ping`.
pub(crate) fn ping_payload(deep: bool, req_id: Option<Uuid>) -> Result<Bytes, Error> {
    let options = CallOptions { req_id, deadline: None };
    payload("ping", &[WireOptions { deep: Some(deep), ..WireOptions::new(&options) }])
}

/// Serializes a value as JSON text. Moray stores only objects, and its error for other values does not say so.
pub(super) fn object_text(value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    let text = serde_json::value::to_raw_value(value).map_err(|error| Error::Serialize(error.to_string()))?;
    if text.get().starts_with('{') { Ok(text) } else { Err(Error::Serialize("not an object".to_owned())) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::filter::Attribute;

    fn members(options: &WireOptions<'_>) -> Value {
        let mut value = serde_json::to_value(options).unwrap();
        let req_id = value.as_object_mut().unwrap().remove("req_id").unwrap();
        assert_eq!(req_id.as_str().unwrap().parse::<Uuid>().unwrap().get_version_num(), 4);
        value
    }

    #[test]
    fn absent_options_are_absent() {
        assert_eq!(members(&WireOptions::new(&CallOptions::default())), json!({}));
        assert_eq!(members(&WireOptions::find(&FindOptions::default())), json!({}));
    }

    #[test]
    fn an_etag_has_three_states() {
        let with = |precondition: &Precondition| {
            members(&WireOptions::conditional(precondition, &CallOptions::default()))
        };
        assert_eq!(with(&Precondition::Any), json!({}));
        assert_eq!(with(&Precondition::MustNotExist), json!({"etag": null}));
        assert_eq!(with(&Precondition::Etag("A".to_owned())), json!({"etag": "A"}));
    }

    #[test]
    fn find_options_have_the_names_that_moray_knows() {
        let options = FindOptions {
            limit: Some(0),
            no_limit: true,
            offset: Some(3),
            sort: vec![Sort { attribute: Attribute::from_static("_mtime"), order: Order::Descending }],
            no_count: true,
            require_indexes: true,
            call: CallOptions::default(),
        };
        assert_eq!(
            members(&WireOptions::find(&options)),
            json!({"limit": "0", "noLimit": true, "offset": 3, "no_count": true, "requireIndexes": true,
                "sort": [{"attribute": "_mtime", "order": "DESC"}]})
        );
    }

    #[test]
    fn only_objects_are_values() {
        assert_eq!(object_text(&json!({"a": 1})).unwrap().get(), r#"{"a":1}"#);
        for value in [json!([1]), json!("x"), json!(null)] {
            assert!(matches!(object_text(&value), Err(Error::Serialize(_))));
        }
    }
}
