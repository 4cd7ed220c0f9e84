// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Several writes in one transaction.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::objects::parse_row;
use super::options::{CallOptions, Precondition};
use super::wire::{WireEtag, WireOptions, object_text, payload};
use crate::client::{Client, Effect, Request, Shape};
use crate::error::Error;
use crate::filter::Filter;

/// One write of a batch.
#[derive(Debug, Clone)]
pub struct BatchRequest(Item);

#[derive(Debug, Clone)]
enum Item {
    Put { bucket: String, key: String, value: Box<RawValue>, precondition: Precondition },
    Delete { bucket: String, key: String, precondition: Precondition },
    DeleteMany { bucket: String, filter: String },
}

impl BatchRequest {
    /// A write as by [`Client::put_object`].
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if the value cannot be serialized as a JSON object.
    pub fn put<T: Serialize + ?Sized>(
        bucket: impl Into<String>,
        key: impl Into<String>,
        value: &T,
        precondition: Precondition,
    ) -> Result<Self, Error> {
        let value = object_text(value)?;
        Ok(Self(Item::Put { bucket: bucket.into(), key: key.into(), value, precondition }))
    }

    /// A delete as by [`Client::del_object`].
    pub fn delete(bucket: impl Into<String>, key: impl Into<String>, precondition: Precondition) -> Self {
        Self(Item::Delete { bucket: bucket.into(), key: key.into(), precondition })
    }

    /// A delete as by [`Client::delete_many`], with Moray's default limit of 1000 objects.
    pub fn delete_many(bucket: impl Into<String>, filter: &Filter) -> Self {
        Self(Item::DeleteMany { bucket: bucket.into(), filter: filter.to_string() })
    }
}

/// The result of one write of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BatchEtag {
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object; absent for deletes by a filter.
    #[serde(default)]
    pub key: Option<String>,
    /// The new etag; absent for deletes.
    #[serde(default)]
    pub etag: Option<String>,
    /// Number of deleted objects; absent except for deletes by a filter.
    #[serde(default)]
    pub count: Option<u64>,
}

#[derive(Serialize)]
#[serde(tag = "operation", rename_all = "camelCase")]
enum WireItem<'a> {
    Put { bucket: &'a str, key: &'a str, value: &'a RawValue, options: ItemOptions<'a> },
    Delete { bucket: &'a str, key: &'a str, options: ItemOptions<'a> },
    DeleteMany { bucket: &'a str, filter: &'a str, options: ItemOptions<'a> },
}

#[derive(Default, Serialize)]
struct ItemOptions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<WireEtag<'a>>,
}

impl<'a> From<&'a BatchRequest> for WireItem<'a> {
    fn from(request: &'a BatchRequest) -> Self {
        let options = |precondition| ItemOptions { etag: WireEtag::new(precondition) };
        match &request.0 {
            Item::Put { bucket, key, value, precondition } => {
                Self::Put { bucket, key, value, options: options(precondition) }
            }
            Item::Delete { bucket, key, precondition } => {
                Self::Delete { bucket, key, options: options(precondition) }
            }
            Item::DeleteMany { bucket, filter } => {
                Self::DeleteMany { bucket, filter, options: ItemOptions::default() }
            }
        }
    }
}

impl Client {
    /// Calls `batch`: does all of the writes, in order, or none. The result has one entry for each write.
    ///
    /// The request is not sent again if its answer is lost.
    ///
    /// # Errors
    ///
    /// The errors of the single writes, and [`Error::OutcomeUnknown`].
    pub async fn batch(
        &self,
        requests: &[BatchRequest],
        options: &CallOptions,
    ) -> Result<Vec<BatchEtag>, Error> {
        const METHOD: &str = "batch";
        let items: Vec<WireItem<'_>> = requests.iter().map(WireItem::from).collect();
        let request = Request {
            method: METHOD,
            payload: payload(METHOD, &(items, WireOptions::new(options)))?,
            effect: Effect::Once,
            shape: Shape::Object,
            limit: options.limit(self.shared.config.write_deadline),
        };
        #[derive(Deserialize)]
        struct Row {
            etags: Vec<BatchEtag>,
        }
        let rows = self.call(&request).await?;
        let row: Row = parse_row(METHOD, &rows)?;
        Ok(row.etags)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filter::Attribute;

    #[test]
    fn items_are_written_as_moray_reads_them() {
        let requests = [
            BatchRequest::put("b", "k", &json!({"a": 1}), Precondition::MustNotExist).unwrap(),
            BatchRequest::delete("b", "k", Precondition::Any),
            BatchRequest::delete_many("b", &Filter::present(Attribute::from_static("uuid"))),
        ];
        let items: Vec<WireItem<'_>> = requests.iter().map(WireItem::from).collect();
        let text = serde_json::to_string(&items).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            json!([
                {"operation": "put", "bucket": "b", "key": "k", "value": {"a": 1}, "options": {"etag": null}},
                {"operation": "delete", "bucket": "b", "key": "k", "options": {}},
                {"operation": "deleteMany", "bucket": "b", "filter": "(uuid=*)", "options": {}},
            ])
        );
    }
}
