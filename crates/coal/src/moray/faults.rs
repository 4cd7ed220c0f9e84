// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while the server runs.

use crate::faults;

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
pub type FaultRule = faults::FaultRule<Fault>;

/// The fault switches of one server. Clones share them.
pub type Faults = faults::Faults<Fault>;

impl Fault {
    fn needs_write(self) -> bool {
        matches!(self, Self::HangUpAfterWrite | Self::DatabaseLostAfterWrite | Self::ReadOnly)
    }
}

impl Faults {
    /// Returns the fault that applies to the request. If it is a stall, the request first waits until it is cleared.
    pub(super) async fn meet(&self, method: &str, is_write: bool) -> Option<Fault> {
        let met =
            self.take(|fault, condition| condition.meets(method, "") && (is_write || !fault.needs_write()))?;
        met.unless_cleared(Fault::Stall).await
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
}
