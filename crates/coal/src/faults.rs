// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Switches for faults: rules that meet requests, all of them or the next few.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The switches of one server, for rules of the kind `R`. Clones share them.
#[derive(Debug)]
pub(crate) struct Switches<R> {
    state: Arc<watch::Sender<State>>,
    // Taking a rule is read and write in one; the channel alone gives no such step with a result.
    rules: Arc<Mutex<Vec<Switch<R>>>>,
}

/// A rule and how often it is yet to be met; `None` is without end.
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

/// A rule that has met a request.
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
        // An error says that the server is gone, and the request with it.
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
    /// Adds a rule that meets the next `times` requests, or all. Of several that meet a request, the oldest is
    /// taken.
    pub(crate) fn set(&self, rule: R, times: Option<u32>) {
        if times != Some(0) {
            self.rules().push(Switch { rule, left: times });
        }
    }

    /// Removes all rules and lets the requests go on that wait for it.
    pub(crate) fn clear(&self) {
        let mut rules = self.rules();
        rules.clear();
        self.state.send_modify(|state| state.cleared += 1);
    }

    /// The rules that are yet to meet requests, and how many.
    pub(crate) fn list(&self) -> Vec<(R, Option<u32>)> {
        self.rules().iter().map(|switch| (switch.rule.clone(), switch.left)).collect()
    }

    /// How many requests have met a rule since the server was made.
    pub(crate) fn applied(&self) -> u64 {
        self.state.borrow().applied
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub(crate) async fn wait_applied(&self, count: u64) {
        // The sender lives as long as `self`, so that this cannot fail.
        let _ = self.state.subscribe().wait_for(|state| state.applied >= count).await;
    }

    /// Takes the oldest rule that meets a request.
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
