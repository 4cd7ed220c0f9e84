// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while the server runs.

use std::sync::Arc;

use ldap3_proto::LdapResultCode;
use tokio::sync::watch;

/// A result code and message for an operation that was not done.
pub(super) type Refusal = (LdapResultCode, &'static str);

const MORAY_FAILURE: Refusal = (LdapResultCode::OperationsError, "Moray failure: no active connections");

/// A failure to inject into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UfdsFault {
    /// Searches, compares and changes are answered with result 52 (unavailable), as when UFDS has lost its Moray. Binding as the
    /// root DN works, because UFDS needs no Moray for it.
    Unavailable,
    /// Searches, compares and changes are answered with result 1 (operationsError) and "Moray failure: no active connections", as
    /// for some 15 seconds after a restart of UFDS's Moray.
    MorayFailure,
    /// The next request alone is answered as with [`MorayFailure`](Self::MorayFailure), as when UFDS loses one connection of its
    /// Moray to the database.
    MorayFailureOnce,
    /// Connections are accepted, but requests are not answered until [`UfdsFaults::clear`] is called.
    Stall,
}

/// The fault switch of one server. Clones share it.
#[derive(Debug, Clone)]
pub struct UfdsFaults(Arc<watch::Sender<Option<UfdsFault>>>);

impl Default for UfdsFaults {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl UfdsFaults {
    /// Activates a fault. It replaces an earlier one.
    pub fn set(&self, fault: UfdsFault) {
        self.0.send_replace(Some(fault));
    }

    /// Deactivates the fault and resumes the stalled requests.
    pub fn clear(&self) {
        self.0.send_replace(None);
    }

    /// Waits while requests are stalled. Then returns the result for the request, or `None` if it is to be served.
    pub(super) async fn meet(&self) -> Option<Refusal> {
        let mut watcher = self.0.subscribe();
        // This cannot fail, because the sender lives as long as `self`.
        let fault = watcher.wait_for(|fault| *fault != Some(UfdsFault::Stall)).await;
        let fault = *fault.ok()?;
        match fault? {
            UfdsFault::Unavailable => Some((LdapResultCode::Unavailable, "")),
            UfdsFault::MorayFailure => Some(MORAY_FAILURE),
            UfdsFault::MorayFailureOnce => {
                // Another request may have consumed the fault meanwhile.
                self.0
                    .send_if_modified(|now| now.take_if(|now| *now == UfdsFault::MorayFailureOnce).is_some())
                    .then_some(MORAY_FAILURE)
            }
            UfdsFault::Stall => None,
        }
    }
}
