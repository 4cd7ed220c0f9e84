// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Resolves names, and drops denied addresses. The client connects to the remaining addresses, so a name cannot mean
//! one thing when it is checked and another when it is used.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::deny::DenyList;

/// The system's name service, filtered by a [`DenyList`].
pub(super) struct Resolver(pub(super) Arc<DenyList>);

/// The name service knows no address of the name, or does not answer.
#[derive(Debug, thiserror::Error)]
#[error("its name cannot be resolved")]
pub(super) struct Unresolved(#[source] std::io::Error);

/// Every address of the name is denied.
#[derive(Debug, thiserror::Error)]
#[error("every address of the host is denied")]
pub(super) struct Denied;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let deny = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses: Vec<_> =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unresolved)?.collect();
            if deny.excepts(name.as_str()) {
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let denied = addresses.iter().filter(|address| deny.denies(address.ip())).count();
            if denied > 0 && denied == addresses.len() {
                return Err(Denied.into());
            }
            let allowed = addresses.into_iter().filter(move |address| !deny.denies(address.ip()));
            Ok(Box::new(allowed) as Addrs)
        })
    }
}
