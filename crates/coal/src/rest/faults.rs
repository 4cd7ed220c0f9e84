// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while a server runs.

use serde::{Deserialize, Serialize};

use crate::faults::{Met, Switches};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestFaultRule {
    #[serde(flatten)]
    fault: RestFault,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
}

impl RestFaultRule {
    /// Applies the fault to every request.
    pub fn new(fault: RestFault) -> Self {
        Self { fault, method: None, path: None, times: None }
    }

    /// Applies the fault only to requests with this method, in upper case.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Applies the fault only to requests whose path contains this.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Applies the fault only to the next `times` requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

impl From<RestFault> for RestFaultRule {
    fn from(fault: RestFault) -> Self {
        Self::new(fault)
    }
}

/// The fault switches of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RestFaults(Switches<RestFaultRule>);

impl RestFaults {
    /// Adds a fault. If several faults apply to a request, the oldest is used.
    pub fn set(&self, rule: impl Into<RestFaultRule>) {
        let rule = rule.into();
        let times = rule.times;
        self.0.set(rule, times);
    }

    /// Removes all faults and resumes the stalled requests.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Returns the active faults, each with the number of requests that it still applies to.
    pub fn list(&self) -> Vec<RestFaultRule> {
        self.0.list().into_iter().map(|(rule, left)| RestFaultRule { times: left, ..rule }).collect()
    }

    /// Returns how often a fault was applied since the server was created.
    pub fn applied(&self) -> u64 {
        self.0.applied()
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        self.0.wait_applied(count).await;
    }

    /// Returns the fault that applies to a request. If it is a [`RestFault::Stall`], it first waits until it is cleared.
    pub(super) async fn meet(&self, method: &str, path: &str) -> Option<RestFault> {
        let mut met: Met<RestFaultRule> = self.0.take(|rule| {
            rule.method.as_deref().is_none_or(|wanted| wanted == method)
                && rule.path.as_deref().is_none_or(|part| path.contains(part))
        })?;
        if met.rule.fault == RestFault::Stall {
            met.until_cleared().await;
            return None;
        }
        Some(met.rule.fault)
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
