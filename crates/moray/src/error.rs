// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The error type of the client.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::fast::{FrameError, ProtocolError};
use crate::server_error::{ServerError, ServerErrorKind};

/// Why a call failed. Names, keys and values of the request are not included, unless the server repeated them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There was no connection, and none was opened within the configured wait. Nothing was sent.
    #[error("moray is not available{}", because(.last))]
    Unavailable {
        /// Why the last attempt to connect failed, or why the last connection ended.
        last: Option<Arc<str>>,
    },
    /// There was no complete answer within the deadline. The call was a read, or it was never sent.
    #[error("{method} was not answered within {limit:?}")]
    Timeout {
        /// RPC method.
        method: &'static str,
        /// The deadline of the call.
        limit: Duration,
    },
    /// The connection was lost before a complete answer.
    #[error("connection to moray lost: {0}")]
    Transport(#[from] TransportError),
    /// The server violated the protocol; the connection was closed.
    #[error("moray broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// A write was sent and its answer was lost, so it may have been done. Read before writing again.
    #[error("unknown whether {method} was done: {source}")]
    OutcomeUnknown {
        /// RPC method.
        method: &'static str,
        /// Why there is no answer.
        source: Box<Error>,
    },
    /// The answer is well-formed but does not match the method's documentation.
    #[error("unexpected answer to {method}: {reason}")]
    BadReply {
        /// RPC method.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A value to be stored cannot be serialized as a JSON object.
    #[error("value cannot be sent: {0}")]
    Serialize(String),
    /// The request exceeds the maximum frame size.
    #[error("request of {size} bytes is over the limit of {limit}")]
    RequestTooLarge {
        /// Length of the request in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The collected rows exceed the configured limit.
    #[error("result is over the limit of {limit} bytes")]
    ResultTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The caller took rows too slowly, for longer than one request may delay the others on its connection.
    #[error("rows were not taken fast enough")]
    SlowConsumer,
    /// Every connection has its maximum number of requests in flight.
    #[error("too many requests to moray under way")]
    Overloaded,
    /// The client was closed.
    #[error("client is closed")]
    Closed,
}

impl Error {
    /// Returns whether the same call may succeed later without any other change. If it is a write, it may have been done
    /// nevertheless: see [`Error::is_outcome_unknown`].
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Server(error) => error.kind().is_transient(),
            Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Transport(_)
            | Self::Protocol(_)
            | Self::OutcomeUnknown { .. }
            | Self::Overloaded => true,
            _ => false,
        }
    }

    /// Returns whether another write came first: an etag conflict, or a value that must be unique and is taken.
    pub fn is_conflict(&self) -> bool {
        matches!(self.server_kind(), Some(ServerErrorKind::EtagConflict | ServerErrorKind::UniqueAttribute))
    }

    /// Returns whether the object or the bucket does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.server_kind(), Some(ServerErrorKind::ObjectNotFound | ServerErrorKind::BucketNotFound))
    }

    /// Returns whether a write may have been done although the call failed.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
            || self.server_kind() == Some(ServerErrorKind::QueryTimeout)
    }

    /// Returns whether the server answered that nothing was done.
    pub(crate) fn says_nothing_was_done(&self) -> bool {
        self.server_kind().is_some_and(|kind| !kind.leaves_outcome_unknown())
    }

    /// Returns the kind of the error that the server sent; `None` for local failures.
    pub fn server_kind(&self) -> Option<ServerErrorKind> {
        match self {
            Self::Server(error) => Some(error.kind()),
            _ => None,
        }
    }

    pub(crate) fn bad_reply(method: &'static str, reason: impl fmt::Display) -> Self {
        Self::BadReply { method, reason: reason.to_string() }
    }

    /// Returns whether a connection failed, to the server or from there to its database, so that another connection may work.
    pub(crate) fn is_connection_loss(&self) -> bool {
        matches!(self, Self::Transport(_) | Self::Protocol(_))
            || self.server_kind() == Some(ServerErrorKind::DatabaseLost)
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Protocol(error) => Self::Protocol(error),
            FrameError::Io(error) => Self::Transport(error.into()),
        }
    }
}

/// Why a connection ended. All its requests receive the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server closed the connection.
    #[error("closed by the server")]
    ClosedByPeer,
    /// The socket failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The server accepted no data for this long.
    #[error("server takes no data for {0:?}")]
    WriteStalled(Duration),
    /// The server did not answer a ping in time.
    #[error("ping not answered within {0:?}")]
    PingUnanswered(Duration),
    /// The server answered a ping with an error.
    #[error("ping refused: {0}")]
    PingRefused(String),
    /// Too many requests were abandoned, and the server never ended them.
    #[error("{0} requests given up and never ended by the server")]
    TooManyAbandoned(usize),
    /// This side ended the connection: its address left DNS, or the client was closed.
    #[error("closed by this side")]
    Retired,
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

fn because(last: &Option<Arc<str>>) -> String {
    last.as_ref().map(|last| format!(": {last}")).unwrap_or_default()
}
