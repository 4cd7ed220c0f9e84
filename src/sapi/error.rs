// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

/// Why SAPI did not do what it was asked. None of these has a value of metadata in it.
#[derive(Debug, thiserror::Error)]
pub enum SapiError {
    /// It cannot be reached. Nothing has happened there.
    #[error("SAPI is not available: {0}")]
    Down(String),
    /// The connection broke before the answer was there.
    #[error("SAPI's answer was lost: {0}")]
    OutcomeUnknown(String),
    /// There was no answer in time.
    #[error("SAPI has not answered within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// It refused, or failed.
    #[error("SAPI answered {status} {code}: {message}")]
    Refused {
        /// HTTP status: all but success and 304.
        status: u16,
        /// Its REST code; `InternalError` where it has none.
        code: String,
        /// Its message.
        message: String,
    },
    /// The answer makes no sense.
    #[error("SAPI's answer is not usable: {0}")]
    Malformed(String),
    /// The answer has more than this many bytes.
    #[error("SAPI's answer has more than {0} bytes")]
    TooLarge(usize),
}

impl SapiError {
    /// Whether SAPI itself is in trouble, rather than what it was asked: the same call may succeed later.
    pub fn is_of_the_service(&self) -> bool {
        !matches!(self, SapiError::Refused { status, .. } if *status < 500)
    }

    /// Whether a call that changes nothing is worth another try at once.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            SapiError::Down(_) | SapiError::OutcomeUnknown(_) => true,
            SapiError::Refused { status, .. } => *status >= 500,
            SapiError::Deadline(_) | SapiError::Malformed(_) | SapiError::TooLarge(_) => false,
        }
    }
}
