// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Errors of Moray calls, by the names that clients distinguish.

use moray::fast::ErrorPayload;
use serde_json::json;
use thiserror::Error;

/// A failed call. The variant's name is the `name` of the ERROR payload, and the display text is its `message`. Both are those of
/// Moray 2.6.
#[derive(Debug, Error)]
pub(crate) enum MorayError {
    /// The bucket does not exist.
    #[error("{0} does not exist")]
    BucketNotFound(String),
    /// The bucket exists already.
    #[error("{0} was likely being concurrently updated")]
    BucketConflict(String),
    /// `updateBucket` with a version that is not greater than the stored one.
    #[error("{bucket} has a newer version than {wanted} ({stored})")]
    BucketVersion {
        /// The bucket's name.
        bucket: String,
        /// The version that the caller sent.
        wanted: u64,
        /// The version that is stored.
        stored: u64,
    },
    /// A conditional write found another etag; the text `null` stands for "no object".
    #[error("{bucket}::{key} was expected to have etag \"{expected}\", but was \"{actual}\"")]
    EtagConflict {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// The etag that the caller expected.
        expected: String,
        /// The stored etag.
        actual: String,
    },
    /// `updateObjects` was called without a field to set.
    #[error("{0} is not a valid update definition")]
    FieldUpdate(String),
    /// A bucket definition is invalid; the text says why.
    #[error("{0}")]
    InvalidBucketConfig(String),
    /// A bucket name does not match `^[a-zA-Z]\w{0,62}$`, or is reserved.
    #[error("{0} is not a valid bucket name")]
    InvalidBucketName(String),
    /// A value does not fit the type of its index.
    #[error("index({index}) is of type {kind}")]
    InvalidIndexType {
        /// The index's name.
        index: String,
        /// The index's type.
        kind: String,
    },
    /// A filter cannot be parsed, or has a value that does not fit its attribute.
    #[error("{0} is an invalid filter")]
    InvalidQuery(String),
    /// The arguments or options are wrong.
    #[error("{0}")]
    Invocation(String),
    /// The usable indexes cannot evaluate a filter.
    #[error("{bucket} does not have indexes that support {filter}{}", fields_suffix(.fields.as_ref()))]
    NotIndexed {
        /// The bucket's name.
        bucket: String,
        /// The filter, or the JSON text of the fields to update.
        filter: String,
        /// The unusable attributes, if the caller asked to check all of them.
        fields: Option<UnusableFields>,
    },
    /// `updateObjects` was called with a null.
    #[error("index \"{index}\" (of type \"{kind}\") cannot store null values")]
    NotNullable {
        /// The index's name.
        index: String,
        /// The index's type.
        kind: String,
    },
    /// The object does not exist.
    #[error("{bucket}::{key} does not exist")]
    ObjectNotFound {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A write violates a unique index.
    #[error("\"{attribute}\" is a unique attribute; value \"{value}\" already exists")]
    UniqueAttribute {
        /// The index's name.
        attribute: String,
        /// The value that already exists.
        value: String,
    },
    /// No database can be reached.
    #[error("unable to acquire backend connection due to service being overloaded")]
    NoDatabasePeers,
    /// The connection to the database ended.
    #[error("Postgres client failed: Connection terminated unexpectedly")]
    DatabaseLost,
    /// The database is a standby and does not accept the statement.
    #[error("cannot execute {0} in a read-only transaction")]
    ReadOnly(&'static str),
    /// An unexpected error, mostly from the database.
    #[error("{0}")]
    Internal(String),
    /// `reindexObjects` was called with a count below one.
    #[error("count {0} < 1")]
    InvalidArgument(i64),
    /// A failure that Moray reports under the bare name `Error`.
    #[error("{0}")]
    Plain(String),
}

/// The attributes of a filter for which no index can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnusableFields {
    /// Attributes without an index.
    pub(crate) unindexed: Vec<String>,
    /// Attributes whose index is still being filled.
    pub(crate) reindexing: Vec<String>,
}

fn fields_suffix(fields: Option<&UnusableFields>) -> String {
    fields.map_or_else(String::new, |fields| {
        format!(
            ". Reindexing fields: {}. Unindexed fields: {}",
            json!(fields.reindexing),
            json!(fields.unindexed)
        )
    })
}

impl MorayError {
    /// Returns the error for an unreachable database. Moray keeps this text for old clients.
    pub(crate) fn connection_refused() -> Self {
        Self::Plain("connect ECONNREFUSED".to_owned())
    }

    /// Returns the `name` of the ERROR payload.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BucketNotFound(_) => "BucketNotFoundError",
            Self::BucketConflict(_) => "BucketConflictError",
            Self::BucketVersion { .. } => "BucketVersionError",
            Self::EtagConflict { .. } => "EtagConflictError",
            Self::FieldUpdate(_) => "FieldUpdateError",
            Self::InvalidBucketConfig(_) => "InvalidBucketConfigError",
            Self::InvalidBucketName(_) => "InvalidBucketNameError",
            Self::InvalidIndexType { .. } => "InvalidIndexTypeError",
            Self::InvalidQuery(_) => "InvalidQueryError",
            Self::Invocation(_) => "InvocationError",
            Self::NotIndexed { .. } => "NotIndexedError",
            Self::NotNullable { .. } => "NotNullableError",
            Self::ObjectNotFound { .. } => "ObjectNotFoundError",
            Self::UniqueAttribute { .. } => "UniqueAttributeError",
            Self::NoDatabasePeers => "NoDatabasePeersError",
            Self::DatabaseLost => "VError",
            Self::ReadOnly(_) => "error",
            Self::Internal(_) => "InternalError",
            Self::InvalidArgument(_) => "InvalidArgumentError",
            Self::Plain(_) => "Error",
        }
    }

    /// Returns the ERROR payload.
    pub(crate) fn to_payload(&self) -> ErrorPayload {
        let context = match self {
            Self::EtagConflict { bucket, key, expected, actual } => {
                json!({"bucket": bucket, "key": key, "expected": expected, "actual": actual})
            }
            _ => json!({}),
        };
        ErrorPayload {
            context: Some(context),
            info: Some(json!({})),
            ..ErrorPayload::new(self.name(), self.to_string())
        }
    }
}

impl From<rusqlite::Error> for MorayError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Internal(format!("database: {error}"))
    }
}

impl From<serde_json::Error> for MorayError {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("stored json: {error}"))
    }
}

/// The result of a call to this crate's Moray.
pub(crate) type Result<T> = std::result::Result<T, MorayError>;
