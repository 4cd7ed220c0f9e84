// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Fault switches: rules that apply to requests, to all of them or to the next few.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The fault switches of one server, for rules of the type `R`. Clones share them.
#[derive(Debug)]
pub(crate) struct Switches<R> {
    state: Arc<watch::Sender<State>>,
    // Taking a rule reads and changes the list in one step, which a watch channel cannot do with a result.
    rules: Arc<Mutex<Vec<Switch<R>>>>,
}

/// A rule, and how often it still applies; `None` is unlimited.
#[derive(Debug, Clone)]
struct Switch<R> {
    rule: R,
    left: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    applied: u64,
    cleared: u64,
}

/// A rule that applies to a request.
#[derive(Debug)]
pub(crate) struct Met<R> {
    /// The rule.
    pub(crate) rule: R,
    watcher: watch::Receiver<State>,
    cleared: u64,
}

impl<R> Met<R> {
    /// Waits until the switches are cleared.
    pub(crate) async fn until_cleared(&mut self) {
        let cleared = self.cleared;
        // An error means that the server is gone, and the request with it.
        let _ = self.watcher.wait_for(|state| state.cleared != cleared).await;
    }
}

impl<R> Default for Switches<R> {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())), rules: Arc::default() }
    }
}

impl<R> Clone for Switches<R> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), rules: Arc::clone(&self.rules) }
    }
}

impl<R: Clone> Switches<R> {
    /// Adds a rule that applies to the next `times` requests, or to all. If several rules apply to a request, the oldest is used.
    pub(crate) fn set(&self, rule: R, times: Option<u32>) {
        if times != Some(0) {
            self.rules().push(Switch { rule, left: times });
        }
    }

    /// Removes all rules and resumes the requests that wait for this.
    pub(crate) fn clear(&self) {
        let mut rules = self.rules();
        rules.clear();
        self.state.send_modify(|state| state.cleared += 1);
    }

    /// Returns the active rules, and how often each still applies.
    pub(crate) fn list(&self) -> Vec<(R, Option<u32>)> {
        self.rules().iter().map(|switch| (switch.rule.clone(), switch.left)).collect()
    }

    /// Returns how often a rule was applied since the server was created.
    pub(crate) fn applied(&self) -> u64 {
        self.state.borrow().applied
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub(crate) async fn wait_applied(&self, count: u64) {
        // This cannot fail, because the sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| state.applied >= count).await;
    }

    /// Takes the oldest rule that applies to a request.
    pub(crate) fn take(&self, meets: impl Fn(&R) -> bool) -> Option<Met<R>> {
        let mut rules = self.rules();
        let at = rules.iter().position(|switch| meets(&switch.rule))?;
        let switch = &mut rules[at];
        let rule = switch.rule.clone();
        switch.left = switch.left.map(|left| left - 1);
        if switch.left == Some(0) {
            rules.remove(at);
        }
        self.state.send_modify(|state| state.applied += 1);
        let watcher = self.state.subscribe();
        let cleared = watcher.borrow().cleared;
        Some(Met { rule, watcher, cleared })
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Switch<R>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
