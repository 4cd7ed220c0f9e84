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
    /// Request id for the server's log; a new one when absent. Moray refuses what is not a UUID.
    pub req_id: Option<Uuid>,
    /// Deadline of the call with all its attempts; the configured one when absent.
    pub deadline: Option<Duration>,
}

impl CallOptions {
    pub(crate) fn limit(&self, configured: Duration) -> Duration {
        self.deadline.unwrap_or(configured)
    }
}

/// What must hold for a write to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    Any,
    /// There is no object with this key. For `delObject` and deletes in a batch Moray takes it for [`Any`](Self::Any).
    MustNotExist,
    /// The object has this etag.
    Etag(String),
}

/// Options of [`Client::put_object`](crate::Client::put_object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What must hold.
    pub precondition: Precondition,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::del_object`](crate::Client::del_object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// What must hold.
    pub precondition: Precondition,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::find_objects`](crate::Client::find_objects).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindOptions {
    /// Greatest number of rows. Moray's own default is 1000.
    pub limit: Option<u64>,
    /// No limit, not even Moray's own.
    pub no_limit: bool,
    /// Rows to skip. A large number is slow: the database reads them.
    pub offset: Option<u64>,
    /// Order of the rows; none means no particular one. Attributes must have an index or be `_id`, `_key` or `_mtime`.
    pub sort: Vec<Sort>,
    /// Do not count the matches: [`Object::count`](crate::Object::count) is absent.
    pub no_count: bool,
    /// Fail with `NotIndexedError` when a part of the filter has no usable index, instead of applying it after the limit.
    pub require_indexes: bool,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// Options of [`Client::delete_many`](crate::Client::delete_many).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteManyOptions {
    /// Greatest number of objects. Moray's own default is 1000.
    pub limit: Option<u64>,
    /// No limit, not even Moray's own.
    pub no_limit: bool,
    /// Request id and deadline.
    pub call: CallOptions,
}

/// An order of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The attribute to sort by.
    pub attribute: Attribute,
    /// Direction.
    pub order: Order,
}

/// Direction of an order. Absent values are last when ascending and first when descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Order {
    /// Least first.
    #[serde(rename = "ASC")]
    Ascending,
    /// Greatest first.
    #[serde(rename = "DESC")]
    Descending,
}
