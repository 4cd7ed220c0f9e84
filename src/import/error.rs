// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::resolver::{Denied, Unresolved};
use crate::config::Stalled;
use crate::telemetry::root_cause;

/// Why something could not be fetched. The message is for the client: it names the host, but no path and no secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The configuration forbids the address.
    #[error("connections to {host} are not allowed")]
    Denied {
        /// Name or address.
        host: String,
    },
    /// The text is not a URL that can be fetched.
    #[error("it is not a URL")]
    NoUrl,
    /// The limit of concurrent calls is reached.
    #[error("too many outgoing requests are under way")]
    Busy,
    /// No client could be made, usually because the system has no certificates to trust.
    #[error("this server cannot call others: {reason}")]
    NoClient {
        /// The reason.
        reason: String,
    },
    /// There was no connection, or it ended before the answer.
    #[error("cannot get an answer from {host}: {reason}")]
    NoAnswer {
        /// Name or address.
        host: String,
        /// The innermost cause.
        reason: String,
        /// The system's name of the cause, such as `ECONNREFUSED`, where it has one.
        system_code: Option<&'static str>,
    },
    /// Nothing came in time.
    #[error("no answer from {host} within {} s", patience.as_secs())]
    Timeout {
        /// Name or address.
        host: String,
        /// The time limit.
        patience: Duration,
    },
    /// The answer is incomplete.
    #[error("the answer of {host} broke off: {reason}")]
    Broken {
        /// Name or address.
        host: String,
        /// The innermost cause.
        reason: String,
    },
    /// The answer came too slowly.
    #[error("the answer was given up: {0}")]
    Stalled(#[from] Stalled),
    /// The answer has a status other than success.
    #[error("{host} answered {status}")]
    Status {
        /// Name or address.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer is an error of an IMGAPI.
    #[error("{host} answered {status} {code}: {message}")]
    Remote {
        /// Name or address.
        host: String,
        /// HTTP status.
        status: u16,
        /// Its REST code.
        code: String,
        /// Its message.
        message: String,
    },
    /// A redirect that is not followed.
    #[error("{host} redirects {problem}")]
    Redirect {
        /// Name or address.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The answer has an unexpected form.
    #[error("the answer of {host} is not usable: {reason}")]
    Unusable {
        /// Name or address.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl FetchError {
    /// Makes the error of a request that failed before the answer.
    pub(super) fn no_answer(host: String, error: reqwest::Error) -> FetchError {
        if causes(&error).any(|cause| cause.is::<Denied>()) {
            return FetchError::Denied { host };
        }
        let system_code = system_code(&error);
        FetchError::NoAnswer { host, reason: root_cause(&error.without_url()), system_code }
    }

    /// Makes the error of an answer that failed after its beginning.
    pub(super) fn broken(host: String, error: reqwest::Error) -> FetchError {
        FetchError::Broken { host, reason: root_cause(&error.without_url()) }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Returns the name that Node.js gives to the cause, because clients of 4.13.1 know it.
fn system_code(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if causes(error).any(|cause| cause.is::<Unresolved>()) {
        return Some("ENOTFOUND");
    }
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>())?;
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => Some("ECONNREFUSED"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Some("ECONNRESET"),
        io::ErrorKind::TimedOut => Some("ETIMEDOUT"),
        io::ErrorKind::HostUnreachable => Some("EHOSTUNREACH"),
        io::ErrorKind::NetworkUnreachable => Some("ENETUNREACH"),
        _ => None,
    }
}
