// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

/// Why a call to the Workflow API, VMAPI or CNAPI failed.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The configuration does not name the service.
    #[error("this server has no such service")]
    Absent,
    /// The service cannot be reached, or reports that it cannot work. It has done nothing.
    #[error("the service is down: {0}")]
    Down(String),
    /// The call was sent, and its result is unknown.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// The service rejected the call, or failed.
    #[error("the service answered {status} {code}: {message}")]
    Refused {
        /// HTTP status, from 400 on.
        status: u16,
        /// Its REST code.
        code: String,
        /// Its message.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("the answer of the service is not usable: {0}")]
    Unusable(String),
}

impl JobsError {
    /// Returns whether the service itself failed, independently of the call.
    pub(super) fn is_of_the_service(&self) -> bool {
        match self {
            JobsError::Absent => false,
            JobsError::Refused { status, .. } => *status >= 500,
            JobsError::Down(_) | JobsError::OutcomeUnknown(_) | JobsError::Unusable(_) => true,
        }
    }
}
