// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

/// Why a call to SAPI failed. No error contains values of metadata.
#[derive(Debug, thiserror::Error)]
pub enum SapiError {
    /// SAPI cannot be reached. It has done nothing.
    #[error("SAPI is not available: {0}")]
    Down(String),
    /// The connection broke before the answer was complete.
    #[error("SAPI's answer was lost: {0}")]
    OutcomeUnknown(String),
    /// There was no answer in time.
    #[error("SAPI has not answered within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// SAPI rejected the call, or failed.
    #[error("SAPI answered {status} {code}: {message}")]
    Refused {
        /// HTTP status: all but success and 304.
        status: u16,
        /// Its REST code; `InternalError` where it has none.
        code: String,
        /// Its message.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("SAPI's answer is not usable: {0}")]
    Malformed(String),
    /// The answer has more than this many bytes.
    #[error("SAPI's answer has more than {0} bytes")]
    TooLarge(usize),
}

impl SapiError {
    /// Returns whether SAPI itself has a problem, independently of the call, which may succeed later.
    pub fn is_of_the_service(&self) -> bool {
        !matches!(self, SapiError::Refused { status, .. } if *status < 500)
    }

    /// Returns whether a call that changes nothing should be repeated at once.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            SapiError::Down(_) | SapiError::OutcomeUnknown(_) => true,
            SapiError::Refused { status, .. } => *status >= 500,
            SapiError::Deadline(_) | SapiError::Malformed(_) | SapiError::TooLarge(_) => false,
        }
    }
}
