//! Keeps one connection up, for ever.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::Shared;
use super::backoff::Backoff;
use super::connection::Connection;
use super::driver::{drive, ping};
use super::resolver::Addresses;
use crate::error::{Error, TransportError};

/// Time for which a connection is kept after its address left the name service: an instance that is only slow to
/// renew its registration comes back within it.
const GRACE: Duration = Duration::from_secs(15);

/// Runs until the client stops.
pub(super) async fn keep_connected(shared: Arc<Shared>) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.backoff_initial, config.backoff_max);
    let mut failures = 0;
    loop {
        let was_up = tokio::select! {
            (was_up, reason) = connect_and_serve(&shared, failures) => {
                note(&shared, &reason, was_up || failures == 0);
                was_up
            }
            () = shared.stop.cancelled() => return,
        };
        if was_up {
            backoff.reset();
            failures = 0;
        } else {
            failures += 1;
        }
        shared.resolver.refresh();
        tokio::select! {
            () = sleep(backoff.next_wait()) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Only the first of several failures is worth a warning.
fn note(shared: &Shared, reason: &Arc<str>, first: bool) {
    shared.pool.note_failure(Arc::clone(reason));
    let endpoint = &shared.config.endpoint;
    if first {
        tracing::warn!(%endpoint, %reason, "no connection to moray, trying again");
    } else {
        tracing::debug!(%endpoint, %reason, "no connection to moray, trying again");
    }
}

/// Whether the connection came up, and why it is no more.
async fn connect_and_serve(shared: &Arc<Shared>, failures: usize) -> (bool, Arc<str>) {
    let addresses = match known_addresses(shared).await {
        Ok(addresses) => addresses,
        Err(reason) => return (false, reason),
    };
    let Some(claim) = shared.pool.claim(&addresses, failures) else {
        return (false, "no addresses".into());
    };
    let address = claim.address;
    let stream = match timeout(shared.config.connect_timeout, connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return (false, format!("{address}: {error}").into()),
        Err(_) => {
            let limit = shared.config.connect_timeout;
            return (false, format!("{address}: no connection within {limit:?}").into());
        }
    };
    let (was_up, error) = serve(shared, address, stream).await;
    (was_up, format!("{address}: {error}").into())
}

async fn known_addresses(shared: &Shared) -> Result<Arc<[SocketAddr]>, Arc<str>> {
    let mut watch = shared.resolver.watch();
    // The resolver answers or fails; it does not stay silent.
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

/// Lets the connection take requests once it answered a ping: a balancer without back ends accepts and hangs up.
async fn serve(shared: &Arc<Shared>, address: SocketAddr, stream: TcpStream) -> (bool, Error) {
    let (connection, requests) = Connection::new(address, Arc::clone(&shared.config));
    let connection = InPool { shared, connection };
    let mut driver = std::pin::pin!(drive(Arc::clone(&connection.connection), stream, requests));
    let greeted = tokio::select! {
        error = &mut driver => Err(error),
        result = ping(&connection.connection) => result,
    };
    if let Err(error) = greeted {
        return (false, error);
    }
    tracing::debug!(%address, "connected to moray");
    shared.pool.add(&connection.connection);
    tokio::select! {
        error = &mut driver => (true, error),
        () = retire(&connection) => (true, TransportError::Retired.into()),
    }
}

/// Takes the connection out of the pool however its task ends, and fails what is left of its requests.
struct InPool<'a> {
    shared: &'a Shared,
    connection: Arc<Connection>,
}

impl Drop for InPool<'_> {
    fn drop(&mut self) {
        self.shared.pool.remove(&self.connection);
        self.connection.pending().end(&TransportError::Retired.into());
    }
}

/// Returns when the address left the name service for good and the requests that were under way are done.
async fn retire(connection: &InPool<'_>) {
    gone(connection.shared, connection.connection.address).await;
    tracing::debug!(address = %connection.connection.address, "moray instance is gone from the name service");
    connection.shared.pool.remove(&connection.connection);
    let limit = connection.shared.config.write_deadline.max(connection.shared.config.find_deadline);
    let _ = timeout(limit, connection.connection.drained()).await;
}

fn gone(shared: &Shared, address: SocketAddr) -> impl Future<Output = ()> {
    let mut watch = shared.resolver.watch();
    let listed =
        move |addresses: &Addresses| matches!(addresses, Addresses::Known(list) if list.contains(&address));
    async move {
        loop {
            if watch.wait_for(|addresses| !listed(addresses)).await.is_err() {
                return;
            }
            if timeout(GRACE, watch.wait_for(listed)).await.is_err() {
                return;
            }
        }
    }
}
