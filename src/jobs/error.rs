// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

/// Why the Workflow API, VMAPI or CNAPI did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The configuration does not name the service.
    #[error("this server has no such service")]
    Absent,
    /// It cannot be reached, or says itself that it cannot work. Nothing has happened there.
    #[error("the service is down: {0}")]
    Down(String),
    /// It has been asked, and what came of it is not known.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// It refused, or failed.
    #[error("the service answered {status} {code}: {message}")]
    Refused {
        /// HTTP status, from 400 on.
        status: u16,
        /// Its REST code.
        code: String,
        /// Its message.
        message: String,
    },
    /// The answer makes no sense.
    #[error("the answer of the service is not usable: {0}")]
    Unusable(String),
}

impl JobsError {
    /// Whether it is the service's failure, not that of what it was asked.
    pub(super) fn is_of_the_service(&self) -> bool {
        match self {
            JobsError::Absent => false,
            JobsError::Refused { status, .. } => *status >= 500,
            JobsError::Down(_) | JobsError::OutcomeUnknown(_) | JobsError::Unusable(_) => true,
        }
    }
}
