// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The connections of a client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::Connection;
use super::state::State;
use crate::error::Error;

/// The connections that accept requests, and the number of connections per address.
pub(super) struct Pool {
    connections: Mutex<Vec<Arc<Connection>>>,
    claims: Mutex<HashMap<SocketAddr, usize>>,
    state: watch::Sender<State>,
    max_in_flight: usize,
}

impl Pool {
    pub(super) fn new(wanted: usize, max_in_flight: usize) -> Self {
        Self {
            connections: Mutex::default(),
            claims: Mutex::default(),
            state: watch::Sender::new(State { wanted, ..State::default() }),
            max_in_flight,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Returns the connection with the fewest requests. Waits up to `limit` if there is none.
    pub(super) async fn connection(&self, limit: Duration) -> Result<Arc<Connection>, Error> {
        let mut state = self.state.subscribe();
        let wait = async {
            loop {
                state.borrow_and_update();
                if let Some(connection) = self.least_loaded() {
                    return connection;
                }
                if state.changed().await.is_err() {
                    return Err(Error::Closed);
                }
            }
        };
        match timeout(limit, wait).await {
            Ok(result) => result,
            Err(_) => Err(Error::Unavailable { last: self.state.borrow().last_error.clone() }),
        }
    }

    fn least_loaded(&self) -> Option<Result<Arc<Connection>, Error>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let (load, connection) = connections
            .iter()
            .map(|connection| (connection.load(), connection))
            .min_by_key(|(load, _)| *load)?;
        Some(if load < self.max_in_flight { Ok(Arc::clone(connection)) } else { Err(Error::Overloaded) })
    }

    pub(super) fn add(&self, connection: &Arc<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(Arc::clone(connection));
        self.state.send_modify(|state| state.connections = connections.len());
    }

    /// Removes a connection, so that it receives no more requests.
    pub(super) fn remove(&self, connection: &Arc<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|other| !Arc::ptr_eq(other, connection));
        self.state.send_if_modified(|state| {
            let before = std::mem::replace(&mut state.connections, connections.len());
            before != state.connections
        });
    }

    pub(super) fn note_failure(&self, reason: Arc<str>) {
        self.state.send_modify(|state| state.last_error = Some(reason));
    }

    /// Chooses the address with the fewest connections. After failures it moves on to the next addresses in that order.
    pub(super) fn claim(self: &Arc<Self>, addresses: &[SocketAddr], failures: usize) -> Option<Claim> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_claims: Vec<_> = addresses.to_vec();
        by_claims.sort_by_key(|address| claims.get(address).copied().unwrap_or(0));
        let address = *by_claims.get(failures.checked_rem(by_claims.len())?)?;
        *claims.entry(address).or_default() += 1;
        Some(Claim { pool: Arc::clone(self), address })
    }
}

/// Counts one connection, or an attempt to open one, for an address until it is dropped.
pub(super) struct Claim {
    pool: Arc<Pool>,
    pub(super) address: SocketAddr,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.pool.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = claims.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                claims.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_over_addresses_and_leave_those_that_fail() {
        let pool = Arc::new(Pool::new(3, 1));
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap()].into();
        assert!(pool.claim(&[], 0).is_none());
        let first = pool.claim(&addresses, 0).unwrap();
        let second = pool.claim(&addresses, 0).unwrap();
        assert_ne!(first.address, second.address);
        drop(second);
        assert_ne!(pool.claim(&addresses, 0).unwrap().address, first.address);
        assert_eq!(pool.claim(&addresses, 1).unwrap().address, first.address, "the free one failed once");
    }
}
