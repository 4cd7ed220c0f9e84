// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What goes wrong with a request, with Manta's codes.

use std::io;

use hyper::StatusCode;
use thiserror::Error;

/// An answer that is no success. Codes, statuses and texts are those of Manta's front end.
#[derive(Debug, Error)]
pub(super) enum MantaError {
    /// There is no signature.
    #[error("Authorization is required")]
    AuthorizationRequired,
    /// The `Authorization` is of another kind.
    #[error("{0} is not allowed (use 'signature')")]
    AuthorizationSchemeNotAllowed(String),
    /// The signature names an algorithm that is not accepted.
    #[error("{0} is not a supported signing algorithm")]
    InvalidAlgorithm(String),
    /// The `Authorization` cannot be read, or its date is not of now.
    #[error("{0}")]
    InvalidHeader(String),
    /// The key id is no `/ACCOUNT/keys/FINGERPRINT` and no `/ACCOUNT/USER/keys/FINGERPRINT`.
    #[error("the KeyId token you provided is invalid")]
    InvalidKeyId,
    /// There is no such account.
    #[error("{0} does not exist")]
    AccountDoesNotExist(String),
    /// There is no such sub-user.
    #[error("{0} does not exist")]
    UserDoesNotExist(String),
    /// The account or the sub-user has no such key.
    #[error("{0} does not exist")]
    KeyDoesNotExist(String),
    /// The key did not make the signature.
    #[error("The signature we calculated does not match the one you sent")]
    InvalidSignature,
    /// The caller has no business there.
    #[error("{caller} is not allowed to access {path}")]
    AuthorizationFailed {
        /// The login.
        caller: String,
        /// Where it wanted to go.
        path: String,
    },
    /// A query parameter that is for operators.
    #[error("Use of these query parameters is restricted to operators: {0}")]
    QueryParameterForbidden(&'static str),
    /// A link was to be made.
    #[error("SnapLinks are disabled for this account")]
    SnaplinksDisabled,
    /// A request that makes no sense, for the reason given.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A path that cannot be.
    #[error("\"{0}\" is invalid")]
    InvalidResource(String),
    /// A `limit` out of range.
    #[error("limit={0} is invalid: must be between [1, 1024]")]
    InvalidLimit(String),
    /// Another query parameter that cannot be read.
    #[error("\"{value}\" is invalid for \"{name}\"")]
    InvalidParameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A change of metadata that would change the content.
    #[error("overwrite of \"{0}\" forbidden")]
    InvalidUpdate(&'static str),
    /// A `max-content-length` that is no length.
    #[error("{0} is an invalid max-content-length value")]
    InvalidMaxContentLength(String),
    /// A number of copies that cannot be.
    #[error("durability-level must be between {0} and {1}")]
    InvalidDurabilityLevel(u32, u32),
    /// The content is not what its sender says.
    #[error("Content-MD5 expected {expected}, but was {actual}")]
    ContentMd5Mismatch {
        /// What the sender says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The entry above is an object.
    #[error("{0} is not a directory")]
    ParentNotDirectory(String),
    /// What is for objects only.
    #[error("{path} is a directory: {method} is not allowed")]
    OperationNotAllowedOnDirectory {
        /// The directory.
        path: String,
        /// What was wanted of it.
        method: String,
    },
    /// A change of what is always there.
    #[error("{method} is not allowed on {path}")]
    OperationNotAllowedOnRootDirectory {
        /// What was wanted.
        method: String,
        /// Of what.
        path: String,
    },
    /// A directory that is not empty.
    #[error("{0} is not empty")]
    DirectoryNotEmpty(String),
    /// There is nothing.
    #[error("{0} was not found")]
    ResourceNotFound(String),
    /// The directory above is not there.
    #[error("{0} does not exist")]
    DirectoryDoesNotExist(String),
    /// A method that nothing has.
    #[error("{0} is not allowed")]
    MethodNotAllowed(String),
    /// The object is of a type that the caller does not take.
    #[error("{path} accepts {content_type}")]
    NotAcceptable {
        /// The object.
        path: String,
        /// Its type.
        content_type: String,
    },
    /// The sender paused for too long.
    #[error("request took too long to send data")]
    UploadTimeout,
    /// Somebody else changed the entry between check and change.
    #[error("{0} was being concurrently updated")]
    ConcurrentRequest(String),
    /// A condition does not hold.
    #[error("{0}")]
    PreconditionFailed(String),
    /// More content than was announced.
    #[error("request has exceeded {0} bytes")]
    MaxContentLengthExceeded(u64),
    /// A range that the object does not have.
    #[error("{range} is an invalid range")]
    RangeNotSatisfiable {
        /// What was asked for.
        range: String,
        /// Bytes of the object.
        size: u64,
    },
    /// What this Manta cannot do.
    #[error("{0}")]
    NotImplemented(&'static str),
    /// Overload, on purpose.
    #[error("manta is unable to serve this request")]
    ServiceUnavailable {
        /// Seconds until the caller may try again.
        retry_after: u32,
    },
    /// The disk is full.
    #[error("not enough free space")]
    NotEnoughSpace,
    /// Anything else. The cause is logged and not sent.
    #[error("an unexpected error occurred")]
    Internal(#[source] io::Error),
}

impl MantaError {
    /// The status and the code.
    pub(super) fn wire(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::AuthorizationRequired => (S::UNAUTHORIZED, "AuthorizationRequired"),
            Self::AuthorizationSchemeNotAllowed(_) => (S::FORBIDDEN, "AuthorizationSchemeNotAllowed"),
            Self::InvalidAlgorithm(_) => (S::UNAUTHORIZED, "InvalidAlgorithm"),
            Self::InvalidHeader(_) => (S::BAD_REQUEST, "InvalidHeader"),
            Self::InvalidKeyId => (S::FORBIDDEN, "InvalidKeyId"),
            Self::AccountDoesNotExist(_) => (S::FORBIDDEN, "AccountDoesNotExist"),
            Self::UserDoesNotExist(_) => (S::FORBIDDEN, "UserDoesNotExist"),
            Self::KeyDoesNotExist(_) => (S::FORBIDDEN, "KeyDoesNotExist"),
            Self::InvalidSignature => (S::FORBIDDEN, "InvalidSignature"),
            Self::AuthorizationFailed { .. } => (S::FORBIDDEN, "AuthorizationFailed"),
            Self::QueryParameterForbidden(_) => (S::FORBIDDEN, "QueryParameterForbidden"),
            // The suffix is Manta's.
            Self::SnaplinksDisabled => (S::FORBIDDEN, "SnaplinksDisabledError"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "BadRequest"),
            Self::InvalidResource(_) => (S::BAD_REQUEST, "InvalidResource"),
            // And this one.
            Self::InvalidLimit(_) => (S::BAD_REQUEST, "InvalidArgumentError"),
            Self::InvalidParameter { .. } => (S::BAD_REQUEST, "InvalidParameter"),
            Self::InvalidUpdate(_) => (S::BAD_REQUEST, "InvalidUpdate"),
            Self::InvalidMaxContentLength(_) => (S::BAD_REQUEST, "InvalidMaxContentLength"),
            Self::InvalidDurabilityLevel(..) => (S::BAD_REQUEST, "InvalidDurabilityLevel"),
            Self::ContentMd5Mismatch { .. } => (S::BAD_REQUEST, "ContentMD5Mismatch"),
            Self::ParentNotDirectory(_) => (S::BAD_REQUEST, "ParentNotDirectory"),
            Self::OperationNotAllowedOnDirectory { .. } => (S::BAD_REQUEST, "OperationNotAllowedOnDirectory"),
            Self::OperationNotAllowedOnRootDirectory { .. } => {
                (S::BAD_REQUEST, "OperationNotAllowedOnRootDirectory")
            }
            Self::DirectoryNotEmpty(_) => (S::BAD_REQUEST, "DirectoryNotEmpty"),
            Self::ResourceNotFound(_) => (S::NOT_FOUND, "ResourceNotFound"),
            Self::DirectoryDoesNotExist(_) => (S::NOT_FOUND, "DirectoryDoesNotExist"),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "MethodNotAllowedError"),
            Self::NotAcceptable { .. } => (S::NOT_ACCEPTABLE, "NotAcceptable"),
            Self::UploadTimeout => (S::REQUEST_TIMEOUT, "UploadTimeout"),
            Self::ConcurrentRequest(_) => (S::CONFLICT, "ConcurrentRequest"),
            Self::PreconditionFailed(_) => (S::PRECONDITION_FAILED, "PreconditionFailed"),
            Self::MaxContentLengthExceeded(_) => (S::PAYLOAD_TOO_LARGE, "MaxContentLengthExceeded"),
            Self::RangeNotSatisfiable { .. } => (S::RANGE_NOT_SATISFIABLE, "RangeNotSatisfiable"),
            Self::NotImplemented(_) => (S::NOT_IMPLEMENTED, "NotImplemented"),
            Self::ServiceUnavailable { .. } => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::NotEnoughSpace => (S::INSUFFICIENT_STORAGE, "NotEnoughSpace"),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }
}

/// A file that cannot be read or written.
impl From<io::Error> for MantaError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NotEnoughSpace,
            _ => Self::Internal(error),
        }
    }
}

impl From<rusqlite::Error> for MantaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Internal(io::Error::other(error))
    }
}
