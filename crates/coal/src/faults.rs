// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while a server runs: rules that apply to all requests, or to the next few.
//!
//! What the faults are is the business of each server. How rules are chosen, counted, listed and cleared is the same everywhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A fault and the requests that it applies to. By default it applies to all requests that it fits, until it is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRule<F, C = RequestCondition> {
    #[serde(flatten)]
    fault: F,
    #[serde(flatten)]
    condition: C,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
}

impl<F, C: Default> FaultRule<F, C> {
    /// Applies the fault to every request that it fits.
    pub fn new(fault: F) -> Self {
        Self { fault, condition: C::default(), times: None }
    }
}

impl<F, C> FaultRule<F, C> {
    /// Applies the fault only to the next `times` requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Changes what a request must look like.
    #[must_use]
    pub(crate) fn only(mut self, change: impl FnOnce(&mut C)) -> Self {
        change(&mut self.condition);
        self
    }
}

impl<F> FaultRule<F> {
    /// Applies the fault only to requests with this method: of HTTP, in upper case, or of Moray, for example `putObject`.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.only(|condition| condition.method = Some(method.to_owned()))
    }

    /// Applies the fault only to requests whose path, for Manta without percent-encoding, contains this.
    #[must_use]
    pub fn path(self, part: &str) -> Self {
        self.only(|condition| condition.path = Some(part.to_owned()))
    }

    /// Excludes requests whose path contains this.
    #[must_use]
    pub fn except(self, part: &str) -> Self {
        self.only(|condition| condition.except = Some(part.to_owned()))
    }
}

impl<F, C: Default> From<F> for FaultRule<F, C> {
    fn from(fault: F) -> Self {
        Self::new(fault)
    }
}

/// What a request must look like for a fault to apply to it. By default every request does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCondition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except: Option<String>,
}

impl RequestCondition {
    /// Tells whether a request looks like this. Moray's requests have the empty path.
    pub(crate) fn meets(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.path.as_deref().is_none_or(|part| path.contains(part))
            && self.except.as_deref().is_none_or(|part| !path.contains(part))
    }
}

/// The fault switches of one server. Clones share them.
#[derive(Debug)]
pub struct Faults<F, C = RequestCondition> {
    state: Arc<watch::Sender<State>>,
    // Taking a rule reads and changes the list in one step, which a watch channel cannot do with a result.
    rules: Arc<Mutex<Vec<FaultRule<F, C>>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    applied: u64,
    cleared: u64,
}

/// A fault that applies to a request.
#[derive(Debug)]
pub(crate) struct Met<F> {
    /// The fault.
    pub(crate) fault: F,
    watcher: watch::Receiver<State>,
    cleared: u64,
}

impl<F: PartialEq> Met<F> {
    /// Waits until the switches are cleared.
    pub(crate) async fn until_cleared(&mut self) {
        let cleared = self.cleared;
        // An error means that the server is gone, and the request with it.
        let _ = self.watcher.wait_for(|state| state.cleared != cleared).await;
    }

    /// Returns the fault. If it is `stall`, waits until the switches are cleared instead, and the request is to be served.
    pub(crate) async fn unless_cleared(mut self, stall: F) -> Option<F> {
        if self.fault == stall {
            self.until_cleared().await;
            return None;
        }
        Some(self.fault)
    }
}

impl<F, C> Default for Faults<F, C> {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())), rules: Arc::default() }
    }
}

impl<F, C> Clone for Faults<F, C> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), rules: Arc::clone(&self.rules) }
    }
}

impl<F: Clone, C: Clone> Faults<F, C> {
    /// Adds a fault. If several faults apply to a request, the oldest is used.
    pub fn set(&self, rule: impl Into<FaultRule<F, C>>) {
        let rule = rule.into();
        if rule.times != Some(0) {
            self.rules().push(rule);
        }
    }

    /// Removes all faults and resumes the stalled requests.
    pub fn clear(&self) {
        let mut rules = self.rules();
        rules.clear();
        self.state.send_modify(|state| state.cleared += 1);
    }

    /// Returns the active faults, each with the number of requests that it still applies to.
    pub fn list(&self) -> Vec<FaultRule<F, C>> {
        self.rules().clone()
    }

    /// Returns how often a fault was applied since the server was created.
    pub fn applied(&self) -> u64 {
        self.state.borrow().applied
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        // This cannot fail, because the sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| state.applied >= count).await;
    }

    /// Takes the oldest fault that applies to a request.
    pub(crate) fn take(&self, meets: impl Fn(&F, &C) -> bool) -> Option<Met<F>> {
        let mut rules = self.rules();
        let at = rules.iter().position(|rule| meets(&rule.fault, &rule.condition))?;
        let rule = &mut rules[at];
        let fault = rule.fault.clone();
        rule.times = rule.times.map(|left| left - 1);
        if rule.times == Some(0) {
            rules.remove(at);
        }
        self.state.send_modify(|state| state.applied += 1);
        let watcher = self.state.subscribe();
        let cleared = watcher.borrow().cleared;
        Some(Met { fault, watcher, cleared })
    }

    fn rules(&self) -> MutexGuard<'_, Vec<FaultRule<F, C>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stalled_request_waits_for_clear() {
        let faults = Faults::<&str>::default();
        faults.set(FaultRule::new("stall").times(1));
        let met = faults.take(|_, condition| condition.meets("ping", "")).unwrap();
        let stalled = tokio::spawn(met.unless_cleared("stall"));
        faults.wait_applied(1).await;
        tokio::task::yield_now().await;
        assert!(!stalled.is_finished());
        faults.clear();
        assert_eq!(stalled.await.unwrap(), None);
    }

    #[test]
    fn a_rule_applies_to_the_requests_that_it_names_and_as_often_as_it_says() {
        let faults = Faults::<&str>::default();
        faults.set(FaultRule::new("first").method("PUT").path("/b").except("/b/c").times(2));
        faults.set(FaultRule::new("never").times(0));
        faults.set("second");
        let take = |method: &str, path: &str| {
            faults.take(|_, condition| condition.meets(method, path)).map(|met| met.fault)
        };
        assert_eq!(take("GET", "/a/b"), Some("second"));
        assert_eq!(take("PUT", "/a"), Some("second"));
        assert_eq!(take("PUT", "/a/b/c"), Some("second"));
        assert_eq!(take("PUT", "/a/b"), Some("first"));
        assert_eq!(faults.list().len(), 2);
        assert_eq!(faults.list()[0].times, Some(1));
        assert_eq!(take("PUT", "/a/b"), Some("first"));
        assert_eq!(take("PUT", "/a/b"), Some("second"));
        assert_eq!(faults.applied(), 6);
        faults.clear();
        assert_eq!(take("PUT", "/a/b"), None);
    }
}
