// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The error type of the client.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinError;

use crate::server_error::{ErrorCode, ServerError};

/// Why a call failed. The error contains no secret and no content of a body.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// No connection could be opened. Nothing was sent.
    #[error("cannot connect to manta: {0}")]
    Connect(String),
    /// The connection was lost. A write may have been done nevertheless.
    #[error("connection to manta lost: {0}")]
    Connection(String),
    /// There was no progress with the server. A write may have been done nevertheless.
    #[error("no progress with manta for {limit:?} while {doing}")]
    Stalled {
        /// What the client was doing.
        doing: &'static str,
        /// How long it waited.
        limit: Duration,
    },
    /// The server redirected the request, which is not followed. Others could use a signature for other requests for some
    /// minutes, so it is given only to Manta; and Manta has no reason to redirect these requests.
    #[error("manta redirects with status {}, which is not followed", .0.as_u16())]
    Redirect(StatusCode),
    /// The answer does not match Manta's documentation.
    #[error("manta broke the protocol: {0}")]
    Protocol(&'static str),
    /// The object was replaced while it was being read.
    #[error("the object changed while it was read")]
    Changed,
    /// A body ended early, or exceeded the announced length.
    #[error("{actual} bytes instead of {expected}")]
    Length {
        /// Announced number of bytes.
        expected: u64,
        /// Counted number of bytes; for a body that is too long, the bytes seen so far.
        actual: u64,
    },
    /// The received bytes differ from the sent ones, although their number is right.
    #[error("the MD5 of what arrived is not that of what was sent")]
    Md5,
    /// The path of a listing names an object.
    #[error("not a directory")]
    NotADirectory,
    /// A value from the caller cannot be sent in a header.
    #[error("the {0} cannot stand in a header")]
    Unprintable(&'static str),
    /// The request could not be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// The runtime is shutting down and accepts no more work.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// This upload has already failed.
    #[error("the upload has failed before")]
    UploadFailed,
}

impl Error {
    /// Returns whether the same call may succeed later without any other change. An upload has to start again.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Server(error) => error.is_retriable(),
            Error::Connect(_) | Error::Connection(_) | Error::Stalled { .. } | Error::Md5 => true,
            _ => false,
        }
    }

    /// Returns whether the service itself has a problem, rather than this request.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Server(error) => error.status.is_server_error() && error.code != ErrorCode::NotImplemented,
            Error::Connect(_) | Error::Connection(_) | Error::Stalled { .. } => true,
            _ => false,
        }
    }

    /// Returns the code that the server sent; `None` for other failures.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Server(error) => Some(error.code),
            _ => None,
        }
    }

    /// Returns whether there is nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(ErrorCode::ResourceNotFound)
    }

    /// Returns the time for which the server asks the client to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Server(error) => error.retry_after,
            _ => None,
        }
    }

    /// Returns the id of the request in Manta's logs, if Manta answered with an error.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Error::Server(error) => error.request_id.as_deref(),
            _ => None,
        }
    }

    /// Returns whether a request may have been done although it failed.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        matches!(self, Error::Connection(_) | Error::Stalled { .. } | Error::Protocol(_))
            || self.code() == Some(ErrorCode::InternalError)
    }
}

impl From<JoinError> for Error {
    fn from(_: JoinError) -> Error {
        Error::ShuttingDown
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Error {
        Error::Server(Box::new(error))
    }
}

/// Returns the innermost error of the chain, which is the informative one.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}
