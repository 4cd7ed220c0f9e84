// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The errors that Moray sends.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::database_errors;
use crate::fast::ErrorPayload;

/// Start of the message if another client created the key meanwhile.
const KEY_EXISTS: &str = "\"_key\" is a unique attribute";

/// An error that the server sent.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerError {
    kind: ServerErrorKind,
    payload: Arc<ErrorPayload>,
}

impl ServerError {
    /// Returns the kind of the error, for decisions.
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }

    /// Returns the error name as sent.
    pub fn name(&self) -> &str {
        &self.payload.name
    }

    /// Returns the message for people as sent.
    pub fn message(&self) -> &str {
        &self.payload.message
    }

    /// Returns the complete error as sent.
    pub fn payload(&self) -> &ErrorPayload {
        &self.payload
    }

    /// Returns the details of an etag conflict; `None` for other errors.
    pub fn etag_conflict(&self) -> Option<EtagConflict<'_>> {
        if self.kind != ServerErrorKind::EtagConflict {
            return None;
        }
        let context = self.payload.context.as_ref();
        let text = |key| context.and_then(|context| context.get(key)).and_then(Value::as_str);
        let etag = |key| text(key).filter(|etag| *etag != "null");
        Some(EtagConflict {
            bucket: text("bucket"),
            key: text("key"),
            expected: etag("expected"),
            actual: etag("actual"),
        })
    }

    /// Returns whether this write lost a race between two first writes of one key. Moray's row lock cannot protect a row that
    /// does not exist yet.
    pub(crate) fn is_lost_insert(&self) -> bool {
        self.kind == ServerErrorKind::UniqueAttribute && self.message().starts_with(KEY_EXISTS)
    }

    pub(crate) fn with_kind(self, kind: ServerErrorKind) -> Self {
        Self { kind, ..self }
    }
}

impl From<ErrorPayload> for ServerError {
    fn from(payload: ErrorPayload) -> Self {
        Self { kind: ServerErrorKind::of(&payload), payload: Arc::new(payload) }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for ServerError {}

/// The two sides of an etag conflict, as far as the server named them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtagConflict<'a> {
    /// Name of the bucket.
    pub bucket: Option<&'a str>,
    /// Key of the object.
    pub key: Option<&'a str>,
    /// The etag that the request named; `None` if it required that there is no object.
    pub expected: Option<&'a str>,
    /// The stored etag; `None` if there is no object.
    pub actual: Option<&'a str>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal,)+) => {
        /// The errors that Moray 2.6 sends. Most kinds are determined by the error name, those about the database by the message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ServerErrorKind {
            $($(#[$doc])+ $kind,)+
            /// The database is down. Moray sends `Error` with the message `connect ECONNREFUSED`. Nothing was done.
            DatabaseDown,
            /// The connection to the database was lost before, during or after the requested operation. It is unknown whether a
            /// write was done.
            DatabaseLost,
            /// The database accepts no writes, for example during a failover. Nothing was done.
            DatabaseReadOnly,
            /// An index of the database cannot hold a value. Nothing was done.
            Unstorable,
            /// A name that Moray 2.6 does not send, or `Error` with another message: a filter was rejected while Moray prepared
            /// it.
            Other,
        }

        impl ServerErrorKind {
            fn of(payload: &ErrorPayload) -> Self {
                let of_name = || match payload.name.as_str() {
                    $($name => Self::$kind,)+
                    _ => Self::Other,
                };
                database_errors::kind(&payload.name, &payload.message).unwrap_or_else(of_name)
            }
        }
    };
}

kinds! {
    /// There is no such bucket.
    BucketNotFound = "BucketNotFoundError",
    /// The bucket exists already.
    BucketConflict = "BucketConflictError",
    /// The stored bucket has this version or a later one.
    BucketVersion = "BucketVersionError",
    /// The etag of the object differs from the one in the request; see [`ServerError::etag_conflict`].
    EtagConflict = "EtagConflictError",
    /// `updateObjects` was called without fields.
    FieldUpdate = "FieldUpdateError",
    /// The bucket's configuration is invalid.
    InvalidBucketConfig = "InvalidBucketConfigError",
    /// The bucket's name is invalid.
    InvalidBucketName = "InvalidBucketNameError",
    /// The bucket's stored index is inconsistent.
    InvalidIndexDefinition = "InvalidIndexDefinitionError",
    /// A value does not fit the type of its index.
    InvalidIndexType = "InvalidIndexTypeError",
    /// The filter cannot be parsed, or has no part that the database can evaluate.
    InvalidQuery = "InvalidQueryError",
    /// The arguments or options are wrong.
    Invocation = "InvocationError",
    /// The source of a trigger is not a function.
    NotFunction = "NotFunctionError",
    /// The filter needs an index that does not exist, or that is being rebuilt.
    NotIndexed = "NotIndexedError",
    /// `updateObjects` was called with a null.
    NotNullable = "NotNullableError",
    /// There is no such object.
    ObjectNotFound = "ObjectNotFoundError",
    /// Another object has this value in a unique index.
    UniqueAttribute = "UniqueAttributeError",
    /// The database took longer than the request allowed. It is unknown whether a write was done.
    QueryTimeout = "QueryTimeoutError",
    /// There is no database, or the queue for it is full.
    NoDatabasePeers = "NoDatabasePeersError",
    /// The server got no database connection in time.
    ConnectTimeout = "ConnectTimeoutError",
    /// An unexpected error.
    Internal = "InternalError",
    /// Another error of PostgreSQL that Moray did not translate.
    Postgres = "error",
    /// The method is unknown, or the request is not well-formed.
    Fast = "FastError",
}

impl ServerErrorKind {
    /// Returns whether the same request may succeed later without any other change.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::DatabaseDown
                | Self::DatabaseLost
                | Self::DatabaseReadOnly
                | Self::NoDatabasePeers
                | Self::ConnectTimeout
        )
    }

    /// Returns whether a write that gets this answer may have been done.
    pub(crate) fn leaves_outcome_unknown(self) -> bool {
        matches!(self, Self::DatabaseLost | Self::QueryTimeout)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(name: &str, message: &str) -> ServerError {
        ErrorPayload::new(name, message).into()
    }

    #[test]
    fn a_database_that_is_away_is_waited_for() {
        for (name, message) in [
            ("Error", "connect ECONNREFUSED"),
            ("VError", "Postgres client failed: Connection terminated unexpectedly"),
            ("error", "cannot execute DELETE in a read-only transaction"),
        ] {
            assert!(error(name, message).kind().is_transient(), "{name}");
        }
        assert!(!error("Error", "connect ECONNREFUSED 10.0.0.1:5432").kind().is_transient());
        assert!(!error("VError", "x").kind().is_transient());
    }

    #[test]
    fn names_are_exact() {
        assert_eq!(error("error", "x").kind(), ServerErrorKind::Postgres);
        assert_eq!(error("NoDatabasePeersError", "x").kind(), ServerErrorKind::NoDatabasePeers);
        assert_eq!(error("EtagConflict", "x").kind(), ServerErrorKind::Other);
    }

    #[test]
    fn an_etag_conflict_tells_its_sides() {
        let payload = ErrorPayload {
            context: Some(json!({"bucket": "b", "key": "k", "expected": "null", "actual": "00000000"})),
            ..ErrorPayload::new("EtagConflictError", "x")
        };
        let error = ServerError::from(payload);
        let conflict = error.etag_conflict().unwrap();
        assert_eq!((conflict.expected, conflict.actual), (None, Some("00000000")));
        assert_eq!((conflict.bucket, conflict.key), (Some("b"), Some("k")));
    }
}
