// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Keeps one connection open, for as long as the client lives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::ClientInner;
use super::backoff::Backoff;
use super::connection::Connection;
use super::driver::{drive, ping};
use super::resolver::{Addresses, Resolver};
use crate::error::{Error, TransportError};

/// Time for which a connection is kept after its address left DNS. An instance that is only slow to renew its registration
/// returns within that time.
const GRACE: Duration = Duration::from_secs(15);

/// How one connection ended, with the reason.
enum Ending {
    /// The connection never answered a ping.
    NotUp(Arc<str>),
    /// The connection was open and failed.
    Lost(Arc<str>),
    /// The connection was open, and its address left DNS.
    Retired,
}

/// Connects and reconnects until the client stops.
pub(super) async fn keep_connected(shared: Arc<ClientInner>) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.backoff_initial, config.backoff_max);
    let mut failures = 0;
    loop {
        let ending = tokio::select! {
            ending = connect_and_serve(&shared, failures) => ending,
            () = shared.stop.cancelled() => return,
        };
        note(&shared, &ending, failures);
        match ending {
            Ending::NotUp(_) => failures += 1,
            Ending::Lost(_) | Ending::Retired => {
                backoff.reset();
                failures = 0;
            }
        }
        shared.resolver.refresh();
        tokio::select! {
            () = sleep(backoff.next_wait()) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Logs the end of a connection. Only the first of several failures is a warning.
fn note(shared: &ClientInner, ending: &Ending, failures: usize) {
    let endpoint = &shared.config.endpoint;
    let (reason, first) = match ending {
        Ending::NotUp(reason) => (reason, failures == 0),
        Ending::Lost(reason) => (reason, true),
        Ending::Retired => return,
    };
    shared.pool.note_failure(Arc::clone(reason));
    if first {
        tracing::warn!(%endpoint, %reason, "no connection to moray, trying again");
    } else {
        tracing::debug!(%endpoint, %reason, "no connection to moray, trying again");
    }
}

async fn connect_and_serve(shared: &Arc<ClientInner>, failures: usize) -> Ending {
    let addresses = match known_addresses(shared).await {
        Ok(addresses) => addresses,
        Err(reason) => return Ending::NotUp(reason),
    };
    let Some(claim) = shared.pool.claim(&addresses, failures) else {
        return Ending::NotUp("no addresses".into());
    };
    let address = claim.address;
    let limit = shared.config.connect_timeout;
    match timeout(limit, connect(address)).await {
        Ok(Ok(stream)) => serve(shared, address, stream).await,
        Ok(Err(error)) => Ending::NotUp(format!("{address}: {error}").into()),
        Err(_) => Ending::NotUp(format!("{address}: no connection within {limit:?}").into()),
    }
}

async fn known_addresses(shared: &ClientInner) -> Result<Arc<[SocketAddr]>, Arc<str>> {
    let mut watch = shared.resolver.watch();
    // The resolver always reports addresses or a failure.
    let known = watch.wait_for(|addresses| !matches!(addresses, Addresses::Unknown)).await;
    match known.as_deref() {
        Ok(Addresses::Known(addresses)) => Ok(Arc::clone(addresses)),
        Ok(Addresses::Failed(reason)) => Err(Arc::clone(reason)),
        Ok(Addresses::Unknown) | Err(_) => Err("not resolved".into()),
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Serves requests once the connection has answered a ping: a load balancer without backends accepts connections and closes them.
async fn serve(shared: &Arc<ClientInner>, address: SocketAddr, stream: TcpStream) -> Ending {
    let (connection, requests) = Connection::new(address, Arc::clone(&shared.config));
    let connection = InPool { shared, connection };
    let mut driver = std::pin::pin!(drive(Arc::clone(&connection.connection), stream, requests));
    let reason = |error: Error| Arc::from(format!("{address}: {error}"));
    let greeted = tokio::select! {
        error = &mut driver => Err(error),
        result = ping(&connection.connection) => result,
    };
    if let Err(error) = greeted {
        return Ending::NotUp(reason(error));
    }
    tracing::debug!(%address, "connected to moray");
    shared.pool.add(&connection.connection);
    tokio::select! {
        error = &mut driver => Ending::Lost(reason(error)),
        () = retire(&connection) => Ending::Retired,
    }
}

/// Removes the connection from the pool however its task ends, and fails its remaining requests.
struct InPool<'a> {
    shared: &'a ClientInner,
    connection: Arc<Connection>,
}

impl Drop for InPool<'_> {
    fn drop(&mut self) {
        self.shared.pool.remove(&self.connection);
        self.connection.pending().end(&TransportError::Retired.into());
    }
}

/// Returns when the address has left DNS for good and the requests in flight are done.
async fn retire(connection: &InPool<'_>) {
    gone(&connection.shared.resolver, connection.connection.address).await;
    tracing::debug!(address = %connection.connection.address, "moray instance is gone from the name service");
    connection.shared.pool.remove(&connection.connection);
    let limit = connection.shared.config.write_deadline.max(connection.shared.config.find_deadline);
    let _ = timeout(limit, connection.connection.drained()).await;
}

/// Returns when the address has been missing from DNS for [`GRACE`].
async fn gone(resolver: &Resolver, address: SocketAddr) {
    let listed =
        |addresses: &Addresses| matches!(addresses, Addresses::Known(list) if list.contains(&address));
    let mut watch = resolver.watch();
    loop {
        if watch.wait_for(|addresses| !listed(addresses)).await.is_err() {
            return;
        }
        if timeout(GRACE, watch.wait_for(listed)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_gone_when_it_is_missing_for_long() {
        let [stays, flickers]: [SocketAddr; 2] =
            ["10.0.0.1:2021", "10.0.0.2:2021"].map(|address| address.parse().unwrap());
        let host = "moray".to_owned();
        let resolver = Arc::new(Resolver::new(&Endpoint::Direct { host, port: 2020 }));
        resolver.publish(vec![stays, flickers]);
        let watched = Arc::clone(&resolver);
        let gone = tokio::spawn(async move { gone(&watched, flickers).await });
        for _ in 0..3 {
            resolver.publish(vec![stays]);
            sleep(GRACE / 2).await;
            resolver.publish(vec![stays, flickers]);
            sleep(GRACE).await;
            assert!(!gone.is_finished());
        }
        resolver.publish(vec![stays]);
        sleep(GRACE + Duration::from_secs(1)).await;
        assert!(gone.is_finished());
    }
}
