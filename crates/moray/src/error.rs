// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The one error of the client.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::fast::{FrameError, ProtocolError};
use crate::server_error::{ServerError, ServerErrorKind};

/// Why a call failed. Names, keys and values of the request are not in it, except where the server repeats them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the request.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There was no connection, and none came up within the configured wait. Nothing was sent.
    #[error("moray is not available{}", because(.last))]
    Unavailable {
        /// Why the last attempt to connect failed, or the last connection ended.
        last: Option<Arc<str>>,
    },
    /// No complete answer within the deadline. The call was a read, or it was never sent.
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
    /// The server broke the protocol; the connection was given up.
    #[error("moray broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// A write was sent and its answer did not come: it may have been done. Read before writing again.
    #[error("unknown whether {method} was done: {source}")]
    OutcomeUnknown {
        /// RPC method.
        method: &'static str,
        /// How the answer was lost.
        source: Box<Error>,
    },
    /// The answer is well-formed but not what the method is documented to answer.
    #[error("unexpected answer to {method}: {reason}")]
    BadReply {
        /// RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value to be stored cannot be written as a JSON object.
    #[error("value cannot be sent: {0}")]
    Serialize(String),
    /// The request is longer than a frame may be.
    #[error("request of {size} bytes is over the limit of {limit}")]
    RequestTooLarge {
        /// Length of the request in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The rows to be collected are longer than the configured limit.
    #[error("result is over the limit of {limit} bytes")]
    ResultTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Rows were taken more slowly than they came, for longer than one request may hold up the others.
    #[error("rows were not taken fast enough")]
    SlowConsumer,
    /// Every connection has its greatest number of requests under way.
    #[error("too many requests to moray under way")]
    Overloaded,
    /// The client was closed.
    #[error("client is closed")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later, with nothing done about it but waiting. A write may have been done
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

    /// Whether somebody else's write was first: an etag conflict, or a value that must be unique and is taken.
    pub fn is_conflict(&self) -> bool {
        matches!(self.server_kind(), Some(ServerErrorKind::EtagConflict | ServerErrorKind::UniqueAttribute))
    }

    /// Whether the object or the bucket does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.server_kind(), Some(ServerErrorKind::ObjectNotFound | ServerErrorKind::BucketNotFound))
    }

    /// Whether a write may have been done although the call failed.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
            || self.server_kind() == Some(ServerErrorKind::QueryTimeout)
    }

    /// Whether the server has answered that nothing was done.
    pub(crate) fn says_nothing_was_done(&self) -> bool {
        self.server_kind().is_some_and(|kind| !kind.leaves_outcome_unknown())
    }

    /// The kind of error that the server sent; `None` for local failures.
    pub fn server_kind(&self) -> Option<ServerErrorKind> {
        match self {
            Self::Server(error) => Some(error.kind()),
            _ => None,
        }
    }

    pub(crate) fn bad_reply(method: &'static str, reason: impl fmt::Display) -> Self {
        Self::BadReply { method, reason: reason.to_string() }
    }

    /// Whether a connection was at fault, to the server or from there to its database, so that another one may serve.
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

/// How a connection ended. All its requests share one.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server closed the connection.
    #[error("closed by the server")]
    ClosedByPeer,
    /// The socket failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The server took no bytes for this long.
    #[error("server takes no data for {0:?}")]
    WriteStalled(Duration),
    /// The server did not answer a ping in time.
    #[error("ping not answered within {0:?}")]
    PingUnanswered(Duration),
    /// The server refused a ping.
    #[error("ping refused: {0}")]
    PingRefused(String),
    /// Too many requests were given up without the server ever ending them.
    #[error("{0} requests given up and never ended by the server")]
    TooManyAbandoned(usize),
    /// This side ended the connection: its address left the name service, or the client was closed.
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
