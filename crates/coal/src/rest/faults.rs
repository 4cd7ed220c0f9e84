// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be switched on while a server runs.

use serde::{Deserialize, Serialize};

use crate::faults::{Met, Switches};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum RestFault {
    /// The connection is closed without an answer; nothing is done.
    HangUp,
    /// Nothing is done and answered until [`RestFaults::clear`]; then all goes on.
    Stall,
    /// The answer is 500 `InternalError`; nothing is done.
    InternalError,
    /// The answer is 500 `InternalError` with "no active connections", as for some seconds after the service's Moray was
    /// restarted; nothing is done.
    MorayFailure,
    /// The answer is 503 `ServiceUnavailable`; nothing is done.
    Unavailable,
    /// The database behind is away: `/ping` says so, with 200 or as SAPI with 500; all else is 503.
    BackendDown,
    /// The answer is 409 `ConflictError`; nothing is done.
    Conflict,
    /// Nothing is done, and the answer makes no sense.
    Garbage {
        /// What it is.
        body: Garbage,
    },
    /// All is done, and the connection is closed without an answer.
    LostAnswer,
}

/// An answer that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// 200 with a page for people.
    NoJson,
    /// 200 with JSON that is something else.
    WrongJson,
    /// 200 and the beginning of the JSON that its length promises.
    Cut,
}

/// Which requests a fault meets: by default all, until it is cleared.
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
    /// Meets every request.
    pub fn new(fault: RestFault) -> Self {
        Self { fault, method: None, path: None, times: None }
    }

    /// Meets only requests with this method, in upper case.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Meets only requests whose path contains this.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Meets only the next `times` requests.
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

/// The switches of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RestFaults(Switches<RestFaultRule>);

impl RestFaults {
    /// Adds a fault. Of several that meet a request, the oldest is taken.
    pub fn set(&self, rule: impl Into<RestFaultRule>) {
        let rule = rule.into();
        let times = rule.times;
        self.0.set(rule, times);
    }

    /// Removes all faults and lets what has stalled go on.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// The faults that are switched on, each with the number of requests that it is yet to meet.
    pub fn list(&self) -> Vec<RestFaultRule> {
        self.0.list().into_iter().map(|(rule, left)| RestFaultRule { times: left, ..rule }).collect()
    }

    /// How many times a request has met a fault since the server was made.
    pub fn applied(&self) -> u64 {
        self.0.applied()
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        self.0.wait_applied(count).await;
    }

    /// Takes what a request meets. It waits for the end of a [`RestFault::Stall`] by itself.
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
