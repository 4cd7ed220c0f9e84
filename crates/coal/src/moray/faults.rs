// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while the server runs.

use crate::faults::Switches;

/// A failure to inject into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The answer is `Error` with `connect ECONNREFUSED`, as when Moray has lost its database.
    Refuse,
    /// The answer is `NoDatabasePeersError`.
    NoDatabasePeers,
    /// The answer is `VError` with `Postgres client failed: …`, as after a restart of the database. Nothing is done.
    DatabaseLost,
    /// A request that changes data is applied, and then answered like [`DatabaseLost`](Self::DatabaseLost). Other requests are
    /// served.
    DatabaseLostAfterWrite,
    /// A request that changes data is answered with `error` and `cannot execute … in a read-only transaction`, as during a
    /// failover. Nothing is done. Other requests are served.
    ReadOnly,
    /// The request waits until [`Faults::clear`] is called, and is then served.
    Stall,
    /// A request that changes data is applied, and then the connection is closed without an answer. Other
    /// requests are served.
    HangUpAfterWrite,
    /// The first object of the reply is sent, followed by `Error` with `connect ECONNREFUSED`.
    ErrorAfterData,
    /// The objects of the reply are sent in the END frame, as very old servers do.
    RowsInEnd,
}

/// The requests that a fault applies to. By default it applies to all requests until it is cleared.
#[derive(Debug, Clone)]
pub struct FaultRule {
    fault: Fault,
    method: Option<String>,
    times: Option<u32>,
}

impl FaultRule {
    /// Applies the fault to every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, method: None, times: None }
    }

    /// Applies the fault only to requests of this method, for example `putObject`.
    #[must_use]
    pub fn method(mut self, name: &str) -> Self {
        self.method = Some(name.to_owned());
        self
    }

    /// Applies the fault only to the next `times` requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn meets(&self, method: &str, is_write: bool) -> bool {
        let meets_writes = [Fault::HangUpAfterWrite, Fault::DatabaseLostAfterWrite, Fault::ReadOnly];
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && (is_write || !meets_writes.contains(&self.fault))
    }
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

/// The fault switches of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Switches<FaultRule>);

impl Faults {
    /// Adds a fault. If several faults apply to a request, the oldest is used.
    pub fn set(&self, rule: impl Into<FaultRule>) {
        let rule = rule.into();
        let times = rule.times;
        self.0.set(rule, times);
    }

    /// Removes all faults and resumes the stalled requests.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Returns the number of requests that a fault was applied to since the server was created.
    pub fn applied(&self) -> u64 {
        self.0.applied()
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        self.0.wait_applied(count).await;
    }

    /// Returns the fault that applies to the request. If it is a stall, the request first waits until it is cleared.
    pub(super) async fn meet(&self, method: &str, is_write: bool) -> Option<Fault> {
        let mut met = self.0.take(|rule| rule.meets(method, is_write))?;
        if met.rule.fault == Fault::Stall {
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
    async fn rules_meet_what_they_name_and_as_often_as_they_say() {
        let faults = Faults::default();
        faults.set(FaultRule::new(Fault::Refuse).method("putObject").times(1));
        faults.set(Fault::HangUpAfterWrite);
        assert_eq!(faults.meet("getObject", false).await, None);
        assert_eq!(faults.meet("putObject", true).await, Some(Fault::Refuse));
        assert_eq!(faults.meet("putObject", true).await, Some(Fault::HangUpAfterWrite));
        assert_eq!(faults.applied(), 2);
        faults.clear();
        assert_eq!(faults.meet("putObject", true).await, None);
    }

    #[tokio::test]
    async fn a_stalled_request_waits_for_clear() {
        let faults = Faults::default();
        faults.set(FaultRule::new(Fault::Stall).times(1));
        let stalled = tokio::spawn({
            let faults = faults.clone();
            async move { faults.meet("ping", false).await }
        });
        faults.wait_applied(1).await;
        assert!(!stalled.is_finished());
        faults.clear();
        assert_eq!(stalled.await.unwrap(), None);
    }
}
