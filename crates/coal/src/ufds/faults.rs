// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be switched on while the server runs.

use std::sync::Arc;

use ldap3_proto::LdapResultCode;
use tokio::sync::watch;

/// A result that says that nothing was done, and its message.
pub(super) type Refusal = (LdapResultCode, &'static str);

const MORAY_FAILURE: Refusal = (LdapResultCode::OperationsError, "Moray failure: no active connections");

/// What goes wrong with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UfdsFault {
    /// Searches, compares and changes are answered with result 52 (unavailable), as when UFDS has lost its Moray. Binding
    /// as the root DN works: UFDS needs no Moray for it.
    Unavailable,
    /// They are answered with result 1 (operationsError) and "Moray failure: no active connections", as for some 15 seconds
    /// after UFDS's Moray was restarted.
    MorayFailure,
    /// The same for the next request only, as when one of UFDS's connections to Moray's database was lost.
    MorayFailureOnce,
    /// Connections are accepted, and nothing is answered until [`UfdsFaults::clear`].
    Stall,
}

/// The switch of one server. Clones share it.
#[derive(Debug, Clone)]
pub struct UfdsFaults(Arc<watch::Sender<Option<UfdsFault>>>);

impl Default for UfdsFaults {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl UfdsFaults {
    /// Switches a fault on, in place of another.
    pub fn set(&self, fault: UfdsFault) {
        self.0.send_replace(Some(fault));
    }

    /// Switches the fault off; what was stalled is answered.
    pub fn clear(&self) {
        self.0.send_replace(None);
    }

    /// Waits while requests are stalled; then what they are to be answered with, if they are not to be served.
    pub(super) async fn meet(&self) -> Option<Refusal> {
        let mut watcher = self.0.subscribe();
        // The sender lives as long as `self`, so that this cannot fail.
        let fault = watcher.wait_for(|fault| *fault != Some(UfdsFault::Stall)).await;
        let fault = *fault.ok()?;
        match fault? {
            UfdsFault::Unavailable => Some((LdapResultCode::Unavailable, "")),
            UfdsFault::MorayFailure => Some(MORAY_FAILURE),
            UfdsFault::MorayFailureOnce => {
                // Another request may have met it since.
                self.0
                    .send_if_modified(|now| now.take_if(|now| *now == UfdsFault::MorayFailureOnce).is_some())
                    .then_some(MORAY_FAILURE)
            }
            UfdsFault::Stall => None,
        }
    }
}
