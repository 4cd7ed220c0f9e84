// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The methods on buckets.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::objects::parse_row;
use super::options::CallOptions;
use super::wire::{WireOptions, payload};
use crate::client::{Client, Effect, Request, Shape};
use crate::error::Error;
use crate::server_error::ServerErrorKind;

/// Configuration of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct BucketConfig {
    /// Indexes, by attribute name.
    pub index: BTreeMap<String, Index>,
    /// Sources of JavaScript triggers that run before a write.
    pub pre: Vec<String>,
    /// Sources of JavaScript triggers that run after a write.
    pub post: Vec<String>,
    /// Version and other options.
    pub options: BucketOptions,
}

/// An index of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Type of the column.
    #[serde(rename = "type")]
    pub index_type: IndexType,
    /// Whether two objects must not have the same value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Type of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum IndexType {
    /// Text.
    String,
    /// A number, read back as a double.
    Number,
    /// True or false.
    Boolean,
    /// A date in ISO 8601.
    Date,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An address and a prefix length.
    Subnet,
    /// A MAC address.
    Mac,
    /// A UUID.
    Uuid,
    /// A range of numbers, such as `[1,5)`.
    NumRange,
    /// A range of dates.
    DateRange,
    /// A list of texts.
    #[serde(rename = "[string]")]
    Strings,
    /// A list of numbers.
    #[serde(rename = "[number]")]
    Numbers,
    /// A list of truth values.
    #[serde(rename = "[boolean]")]
    Booleans,
    /// A list of dates.
    #[serde(rename = "[date]")]
    Dates,
    /// A list of IP addresses.
    #[serde(rename = "[ip]")]
    Ips,
    /// A list of MAC addresses.
    #[serde(rename = "[mac]")]
    Macs,
    /// A list of subnets.
    #[serde(rename = "[subnet]")]
    Subnets,
}

/// Options of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub struct BucketOptions {
    /// Version of the configuration. An update must have a greater version, unless the stored version is 0.
    pub version: u64,
    /// Whether Moray maintains `_txn_snap`, the transaction snapshot of each write.
    pub guarantee_order: bool,
    /// Whether Moray serializes updates.
    pub sync_updates: bool,
}

/// A stored bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// Name of the bucket.
    pub name: String,
    /// Configuration of the bucket.
    pub config: BucketConfig,
    /// Indexes that are still being filled, by the bucket version that added them. A filter cannot use them yet.
    pub reindex_active: BTreeMap<String, Vec<String>>,
}

/// The row of a bucket. Every member but the name is JSON inside a string.
#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(default, deserialize_with = "json_in_json")]
    index: BTreeMap<String, Index>,
    #[serde(default, deserialize_with = "json_in_json")]
    pre: Vec<String>,
    #[serde(default, deserialize_with = "json_in_json")]
    post: Vec<String>,
    #[serde(default, deserialize_with = "json_in_json")]
    options: BucketOptions,
    #[serde(default, deserialize_with = "json_in_json")]
    reindex_active: BTreeMap<String, Vec<String>>,
}

fn json_in_json<'de, T: DeserializeOwned + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(T::default()) };
    serde_json::from_str::<Option<T>>(&text).map(Option::unwrap_or_default).map_err(D::Error::custom)
}

impl Client {
    /// Calls `createBucket`. The request is sent again if its answer was lost; if the bucket then exists, the call succeeds.
    ///
    /// # Errors
    ///
    /// `BucketConflictError`, or `InternalError` if another client created the bucket at the same time; `InvalidBucketNameError`;
    /// `InvalidBucketConfigError`; [`Error::OutcomeUnknown`].
    pub async fn create_bucket(
        &self,
        bucket: &str,
        config: &BucketConfig,
        options: &CallOptions,
    ) -> Result<(), Error> {
        let request = self.bucket_request("createBucket", bucket, config, Effect::Idempotent, options)?;
        let answer = self.call_and_tell(&request).await;
        match answer.result {
            Err(error) if answer.repeated && error.server_kind() == Some(ServerErrorKind::BucketConflict) => {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Calls `updateBucket`. The request is not sent again if its answer is lost.
    ///
    /// # Errors
    ///
    /// `BucketNotFoundError`, `BucketVersionError`, `InvalidBucketConfigError`, [`Error::OutcomeUnknown`].
    pub async fn update_bucket(
        &self,
        bucket: &str,
        config: &BucketConfig,
        options: &CallOptions,
    ) -> Result<(), Error> {
        let request = self.bucket_request("updateBucket", bucket, config, Effect::Once, options)?;
        self.call(&request).await.map(drop)
    }

    fn bucket_request(
        &self,
        method: &'static str,
        bucket: &str,
        config: &BucketConfig,
        effect: Effect,
        options: &CallOptions,
    ) -> Result<Request, Error> {
        Ok(Request {
            method,
            payload: payload(method, &(bucket, config, WireOptions::new(options)))?,
            effect,
            shape: Shape::Rows,
            limit: options.limit(self.shared.config.write_deadline),
        })
    }

    /// Calls `getBucket`.
    ///
    /// # Errors
    ///
    /// `BucketNotFoundError`.
    pub async fn get_bucket(&self, bucket: &str, options: &CallOptions) -> Result<Bucket, Error> {
        const METHOD: &str = "getBucket";
        let request = Request {
            method: METHOD,
            // This is the only method whose options come first.
            payload: payload(METHOD, &(WireOptions::new(options), bucket))?,
            effect: Effect::Read,
            shape: Shape::Object,
            limit: options.limit(self.shared.config.read_deadline),
        };
        let rows = self.call(&request).await?;
        let Row { name, index, pre, post, options, reindex_active } = parse_row(METHOD, &rows)?;
        Ok(Bucket { name, config: BucketConfig { index, pre, post, options }, reindex_active })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_json_in_json() {
        let row = json!({
            "name": "imgapi_images",
            "index": r#"{"uuid":{"type":"string","unique":true},"tags":{"type":"[string]"}}"#,
            "pre": "[]",
            "post": "[]",
            "options": r#"{"version":2,"guaranteeOrder":false,"syncUpdates":true}"#,
            "mtime": "2026-01-01T00:00:00.000Z",
            "reindex_active": r#"{"2":["tags"]}"#,
        });
        let row: Row = serde_json::from_value(row).unwrap();
        assert_eq!(row.index["uuid"], Index { index_type: IndexType::String, unique: true });
        assert_eq!(row.index["tags"], Index { index_type: IndexType::Strings, unique: false });
        assert_eq!(row.options, BucketOptions { version: 2, guarantee_order: false, sync_updates: true });
        assert_eq!(row.reindex_active["2"], ["tags"]);
    }

    #[test]
    fn absent_and_null_members_are_empty() {
        let row: Row = serde_json::from_value(
            json!({"name": "b", "index": "{}", "pre": null, "reindex_active": "null"}),
        )
        .unwrap();
        assert!(row.index.is_empty() && row.reindex_active.is_empty());
    }

    #[test]
    fn a_config_has_only_the_members_that_moray_allows() {
        let mut config = BucketConfig::default();
        config.index.insert("n".to_owned(), Index { index_type: IndexType::NumRange, unique: false });
        config.index.insert("u".to_owned(), Index { index_type: IndexType::Ips, unique: true });
        assert_eq!(
            serde_json::to_value(&config).unwrap(),
            json!({"index": {"n": {"type": "numrange"}, "u": {"type": "[ip]", "unique": true}}, "pre": [], "post": [],
                "options": {"version": 0, "guaranteeOrder": false, "syncUpdates": false}})
        );
    }
}
