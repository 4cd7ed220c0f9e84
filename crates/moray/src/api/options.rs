// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Options of the methods.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::filter::Attribute;

/// Options of every call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Request id for the server's log, a UUID. By default, each call gets a new one.
    pub req_id: Option<Uuid>,
    /// Deadline of the call including all attempts. By default, the one in [`Config`](crate::Config).
    pub deadline: Option<Duration>,
}

impl CallOptions {
    pub(crate) fn limit(&self, configured: Duration) -> Duration {
        self.deadline.unwrap_or(configured)
    }
}

/// The condition under which a write is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    #[default]
    Any,
    /// There is no object with this key. For `delObject`, and for deletes in a batch, Moray treats this as [`Any`](Self::Any).
    MustNotExist,
    /// The object has this etag.
    Etag(String),
}

/// Options of [`Client::put_object`](crate::Client::put_object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Condition of the write.
    pub precondition: Precondition,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::del_object`](crate::Client::del_object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Condition of the delete.
    pub precondition: Precondition,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::find_objects`](crate::Client::find_objects).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindOptions {
    /// Maximum number of rows. Moray's default is 1000.
    pub limit: Option<u64>,
    /// Whether to lift all limits, including Moray's default.
    pub no_limit: bool,
    /// Number of rows to skip. A large number is slow, because the database reads the skipped rows.
    pub offset: Option<u64>,
    /// Sort order of the rows; empty for no particular order. Attributes must have an index or be `_id`, `_key` or `_mtime`.
    pub sort: Vec<Sort>,
    /// Whether to skip counting the matches; then [`Object::count`](crate::Object::count) is absent.
    pub no_count: bool,
    /// Whether to fail with `NotIndexedError` if a part of the filter has no usable index. Otherwise Moray applies that part
    /// after the limit.
    pub require_indexes: bool,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::delete_many`](crate::Client::delete_many).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteManyOptions {
    /// Maximum number of objects. Moray's default is 1000.
    pub limit: Option<u64>,
    /// Whether to lift all limits, including Moray's default.
    pub no_limit: bool,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// A sort criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The attribute to sort by.
    pub attribute: Attribute,
    /// Sort direction.
    pub order: Order,
}

/// Sort direction. Objects without a value come last in ascending and first in descending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Order {
    /// From the least to the greatest value.
    #[serde(rename = "ASC")]
    Ascending,
    /// From the greatest to the least value.
    #[serde(rename = "DESC")]
    Descending,
}
