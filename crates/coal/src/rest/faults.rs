// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while a server runs.

use serde::{Deserialize, Serialize};

use crate::faults::{FaultRule, Faults};

/// A failure to inject into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum RestFault {
    /// The connection is closed without an answer; nothing is done.
    HangUp,
    /// The request waits until [`RestFaults::clear`] is called, and is then served.
    Stall,
    /// The answer is 500 `InternalError`; nothing is done.
    InternalError,
    /// The answer is 500 `InternalError` with "no active connections", as for some seconds after a restart of the service's
    /// Moray. Nothing is done.
    MorayFailure,
    /// The answer is 503 `ServiceUnavailable`; nothing is done.
    Unavailable,
    /// The service's database is unavailable. `/ping` reports that, with 200 or, for SAPI, 500. Other requests are answered with
    /// 503.
    BackendDown,
    /// The answer is 409 `ConflictError`; nothing is done.
    Conflict,
    /// Nothing is done, and the answer is invalid.
    Garbage {
        /// The kind of invalid answer.
        body: Garbage,
    },
    /// The request is done, and the connection is closed without an answer.
    LostAnswer,
}

/// An invalid answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// 200 with an HTML page.
    NoJson,
    /// 200 with JSON of a wrong shape.
    WrongJson,
    /// 200 with only the beginning of the JSON that its length announces.
    Cut,
}

/// The requests that a fault applies to. By default it applies to all requests until it is cleared.
pub type RestFaultRule = FaultRule<RestFault>;

/// The fault switches of one server. Clones share them.
pub type RestFaults = Faults<RestFault>;

impl RestFaults {
    /// Returns the fault that applies to a request. If it is a [`RestFault::Stall`], it first waits until it is cleared.
    pub(super) async fn meet(&self, method: &str, path: &str) -> Option<RestFault> {
        self.take(|_, condition| condition.meets(method, path))?.unless_cleared(RestFault::Stall).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rules_have_a_form_for_people_and_meet_what_they_name() {
        let text = r#"{"fault":"garbage","body":"no_json","method":"POST","path":"/jobs","times":1}"#;
        let rule: RestFaultRule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        let faults = RestFaults::default();
        faults.set(rule);
        assert_eq!(faults.meet("GET", "/jobs").await, None);
        assert_eq!(faults.meet("POST", "/jobs").await, Some(RestFault::Garbage { body: Garbage::NoJson }));
        assert_eq!(faults.meet("POST", "/jobs").await, None);
    }
}
