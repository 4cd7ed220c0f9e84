// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests coal's servers over sockets, with the clients of this workspace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

mod faults;
mod images;
mod manta;
mod moray_client;
mod ufds;
mod wire;
mod workflow;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use coal::moray::{Location, MorayServer};

/// Chooses any free port of this machine.
const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Far longer than any operation takes: it only bounds a hang.
const DEADLINE: Duration = Duration::from_secs(60);

async fn moray_server() -> MorayServer {
    MorayServer::bind(FREE_PORT, Location::Memory).await.unwrap()
}

/// Waits for a future that must complete.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("took too long")
}
