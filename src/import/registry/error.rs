// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::digest::Digest;
use crate::import::FetchError;

/// Why something could not be fetched from a registry, or sent to it. The message is for the client: it contains no
/// credentials, and no path of a URL.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no connection to the registry, to its token server, or to the host that it redirects to; or no answer.
    #[error(transparent)]
    Connection(FetchError),
    /// A transfer broke off, and did not go on when it was tried again.
    #[error(transparent)]
    Transfer(FetchError),
    /// The credentials are wrong, missing, or insufficient.
    #[error("{host} requires other credentials for {what}")]
    Unauthorized {
        /// The registry's host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry does not have it, or does not show it to this user.
    #[error("{host} has no {what}")]
    NotFound {
        /// The registry's host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The bytes have another digest than the one that names them.
    #[error("{what} has the digest {actual}, not {expected}")]
    OtherDigest {
        /// What was received.
        what: String,
        /// The digest that names it.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// All the bytes that the registry has are fewer than the manifest says, and have another digest.
    #[error("{what} is incomplete: {received} of {expected} bytes came")]
    Truncated {
        /// What was received.
        what: String,
        /// The bytes received.
        received: u64,
        /// The bytes that the manifest announces.
        expected: u64,
    },
    /// It is larger than this version accepts.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What was received.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The compressed bytes of a layer cannot be decompressed.
    #[error("{what} cannot be decompressed: {reason}")]
    Damaged {
        /// The layer.
        what: String,
        /// What the decoder says.
        reason: String,
    },
    /// A manifest or a configuration cannot be used; or an index has nothing for the platform.
    #[error("{0}")]
    Invalid(String),
    /// The server is no registry of version 2.
    #[error("{host} is not a Docker Registry v2")]
    NotRegistry {
        /// The registry's host.
        host: String,
    },
    /// Any other answer.
    #[error("{host} answered {status} for {what}{}", said(.told.as_ref()))]
    Refused {
        /// The registry's host.
        host: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// Code and message of the registry's error, if it sends one.
        told: Option<(String, String)>,
    },
}

fn said(told: Option<&(String, String)>) -> String {
    told.map(|(code, message)| format!(": {code} {message}")).unwrap_or_default()
}
