// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Errors of requests, with Manta's codes.

use std::io;

use hyper::StatusCode;
use thiserror::Error;

/// An error answer. Codes, statuses and texts are those of Manta's front end.
#[derive(Debug, Error)]
pub(super) enum MantaError {
    /// The request has no signature.
    #[error("Authorization is required")]
    AuthorizationRequired,
    /// The `Authorization` header has another scheme.
    #[error("{0} is not allowed (use 'signature')")]
    AuthorizationSchemeNotAllowed(String),
    /// The signature names an algorithm that is not accepted.
    #[error("{0} is not a supported signing algorithm")]
    InvalidAlgorithm(String),
    /// The `Authorization` header cannot be parsed, or its date differs too much from the current time.
    #[error("{0}")]
    InvalidHeader(String),
    /// The key id has neither the form `/ACCOUNT/keys/FINGERPRINT` nor `/ACCOUNT/USER/keys/FINGERPRINT`.
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
    /// The caller has no permission for the path.
    #[error("{caller} is not allowed to access {path}")]
    AuthorizationFailed {
        /// Login of the caller.
        caller: String,
        /// The path.
        path: String,
    },
    /// A query parameter is reserved for operators.
    #[error("Use of these query parameters is restricted to operators: {0}")]
    QueryParameterForbidden(&'static str),
    /// The request would create a snaplink.
    #[error("SnapLinks are disabled for this account")]
    SnaplinksDisabled,
    /// The request is malformed, for the reason given.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The path is invalid.
    #[error("\"{0}\" is invalid")]
    InvalidResource(String),
    /// The `limit` is out of range.
    #[error("limit={0} is invalid: must be between [1, 1024]")]
    InvalidLimit(String),
    /// Another query parameter is invalid.
    #[error("\"{value}\" is invalid for \"{name}\"")]
    InvalidParameter {
        /// Name of the parameter.
        name: &'static str,
        /// Value of the parameter.
        value: String,
    },
    /// An update of metadata names a header that would change the content.
    #[error("overwrite of \"{0}\" forbidden")]
    InvalidUpdate(&'static str),
    /// The `max-content-length` is not a length.
    #[error("{0} is an invalid max-content-length value")]
    InvalidMaxContentLength(String),
    /// The number of copies is out of range.
    #[error("durability-level must be between {0} and {1}")]
    InvalidDurabilityLevel(u32, u32),
    /// The content does not match the announced MD5.
    #[error("Content-MD5 expected {expected}, but was {actual}")]
    ContentMd5Mismatch {
        /// The announced MD5.
        expected: String,
        /// The MD5 of the received content.
        actual: String,
    },
    /// The parent of the path is an object.
    #[error("{0} is not a directory")]
    ParentNotDirectory(String),
    /// The operation is allowed for objects only.
    #[error("{path} is a directory: {method} is not allowed")]
    OperationNotAllowedOnDirectory {
        /// The directory.
        path: String,
        /// The HTTP method.
        method: String,
    },
    /// The request would change a directory that always exists.
    #[error("{method} is not allowed on {path}")]
    OperationNotAllowedOnRootDirectory {
        /// The HTTP method.
        method: String,
        /// The directory.
        path: String,
    },
    /// The directory is not empty.
    #[error("{0} is not empty")]
    DirectoryNotEmpty(String),
    /// There is no entry at the path.
    #[error("{0} was not found")]
    ResourceNotFound(String),
    /// The parent directory does not exist.
    #[error("{0} does not exist")]
    DirectoryDoesNotExist(String),
    /// No resource has this method.
    #[error("{0} is not allowed")]
    MethodNotAllowed(String),
    /// The type of the object is not accepted by the caller.
    #[error("{path} accepts {content_type}")]
    NotAcceptable {
        /// The object.
        path: String,
        /// Its type.
        content_type: String,
    },
    /// The sender paused too long.
    #[error("request took too long to send data")]
    UploadTimeout,
    /// Another request changed the entry between check and change.
    #[error("{0} was being concurrently updated")]
    ConcurrentRequest(String),
    /// A condition does not hold.
    #[error("{0}")]
    PreconditionFailed(String),
    /// The content is longer than announced.
    #[error("request has exceeded {0} bytes")]
    MaxContentLengthExceeded(u64),
    /// The range is malformed or lies outside the object.
    #[error("{range} is an invalid range")]
    RangeNotSatisfiable {
        /// The requested range.
        range: String,
        /// Size of the object in bytes.
        size: u64,
    },
    /// This server does not support the operation.
    #[error("{0}")]
    NotImplemented(&'static str),
    /// The server pretends to be overloaded.
    #[error("manta is unable to serve this request")]
    ServiceUnavailable {
        /// Seconds until the caller may try again.
        retry_after: u32,
    },
    /// The disk is full.
    #[error("not enough free space")]
    NotEnoughSpace,
    /// Any other error. The cause is logged but not sent.
    #[error("an unexpected error occurred")]
    Internal(#[source] io::Error),
}

impl MantaError {
    /// Returns the status and the code.
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
            // Manta's code has this suffix.
            Self::SnaplinksDisabled => (S::FORBIDDEN, "SnaplinksDisabledError"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "BadRequest"),
            Self::InvalidResource(_) => (S::BAD_REQUEST, "InvalidResource"),
            // Manta's code has this suffix.
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

/// An error while reading or writing a file.
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
