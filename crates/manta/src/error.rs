// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The one error of the client.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinError;

use crate::server_error::{ErrorCode, ServerError};

/// Why a call failed. No secret is in it, nor anything of a body.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the request.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// There is no connection. Nothing was sent.
    #[error("cannot connect to manta: {0}")]
    Connect(String),
    /// The connection was lost. A write may have been done nevertheless.
    #[error("connection to manta lost: {0}")]
    Connection(String),
    /// The server did not go on. A write may have been done nevertheless.
    #[error("no progress with manta for {limit:?} while {doing}")]
    Stalled {
        /// What was under way.
        doing: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server wants the request to go elsewhere. A signature is good for any request of the next minutes, so it is
    /// given to nobody else; and Manta has no reason to redirect these requests.
    #[error("manta redirects with status {}, which is not followed", .0.as_u16())]
    Redirect(StatusCode),
    /// The answer is not what it is documented to be.
    #[error("manta broke the protocol: {0}")]
    Protocol(&'static str),
    /// The object was replaced while it was being read.
    #[error("the object changed while it was read")]
    Changed,
    /// A body ended early, or would be longer than announced.
    #[error("{actual} bytes instead of {expected}")]
    Length {
        /// Announced, in bytes.
        expected: u64,
        /// Counted, in bytes; of what is too long, as much as was seen.
        actual: u64,
    },
    /// What arrived is something else than what was sent, though as long.
    #[error("the MD5 of what arrived is not that of what was sent")]
    Md5,
    /// The path of a listing is an object.
    #[error("not a directory")]
    NotADirectory,
    /// What the caller gave cannot stand in a header.
    #[error("the {0} cannot stand in a header")]
    Unprintable(&'static str),
    /// The request could not be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// The runtime takes no more work.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// This upload has failed before.
    #[error("the upload has failed before")]
    UploadFailed,
}

impl Error {
    /// Whether the same call may succeed later, with nothing done about it but waiting. An upload has to begin anew.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Server(error) => error.is_retriable(),
            Error::Connect(_) | Error::Connection(_) | Error::Stalled { .. } | Error::Md5 => true,
            _ => false,
        }
    }

    /// Whether the service itself is in trouble, and not this request.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Server(error) => error.status.is_server_error() && error.code != ErrorCode::NotImplemented,
            Error::Connect(_) | Error::Connection(_) | Error::Stalled { .. } => true,
            _ => false,
        }
    }

    /// The code that the server sent; none for failures of another kind.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Server(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether there is nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(ErrorCode::ResourceNotFound)
    }

    /// For how long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Server(error) => error.retry_after,
            _ => None,
        }
    }

    /// By what Manta's logs know the request, if it was answered with an error.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Error::Server(error) => error.request_id.as_deref(),
            _ => None,
        }
    }

    /// Whether a request may have been carried out although it failed.
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

/// The innermost reason, which is what tells something.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}
