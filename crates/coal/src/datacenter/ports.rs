// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Chooses the ports of the services.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use uuid::Uuid;

use super::error::{DatacenterError, cannot};

/// The first candidate for a free port, the number of candidates, and the number of attempts.
const FIRST_FREE: u16 = 10_000;
const FREE: u16 = 20_000;
const TRIES: usize = 100;

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ports {
    /// Free ports.
    #[default]
    Auto,
    /// Consecutive ports from this one on: imgapi, its metrics, Moray, UFDS, Manta, control, Workflow API, VMAPI, CNAPI, SAPI.
    Base(u16),
}

/// The addresses of all services. A service with port 0 chooses a port when it binds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) imgapi: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) moray: SocketAddr,
    pub(super) ufds: SocketAddr,
    pub(super) manta: SocketAddr,
    pub(super) control: SocketAddr,
    pub(super) workflow: SocketAddr,
    pub(super) vmapi: SocketAddr,
    pub(super) cnapi: SocketAddr,
    pub(super) sapi: SocketAddr,
}

impl Ports {
    /// Number of ports of a datacenter.
    pub const COUNT: u16 = 10;

    /// Returns the ports of the datacenter with this index in a cloud, counted from 0.
    pub(super) fn of_datacenter(self, index: u16) -> Result<Self, DatacenterError> {
        match self {
            Self::Auto => Ok(Self::Auto),
            Self::Base(base) => {
                let first = Self::COUNT.checked_mul(index).and_then(|offset| base.checked_add(offset));
                first.map(Self::Base).ok_or(DatacenterError::Ports(base))
            }
        }
    }

    /// Chooses the ports. Those of `imgapi`, which another process binds, are never 0.
    pub(super) async fn choose(self) -> Result<Addresses, DatacenterError> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match self {
            Self::Base(base) => {
                base.checked_add(Self::COUNT - 1).filter(|_| base > 0).ok_or(DatacenterError::Ports(base))?;
                Ok(Addresses {
                    imgapi: local(base),
                    metrics: local(base + 1),
                    moray: local(base + 2),
                    ufds: local(base + 3),
                    manta: local(base + 4),
                    control: local(base + 5),
                    workflow: local(base + 6),
                    vmapi: local(base + 7),
                    cnapi: local(base + 8),
                    sapi: local(base + 9),
                })
            }
            Self::Auto => {
                // Both are held at once, so that they differ.
                let no_port = || cannot("find a free port");
                let (first, second) = (free_port().map_err(no_port())?, free_port().map_err(no_port())?);
                Ok(Addresses {
                    imgapi: first.local_addr().map_err(no_port())?,
                    metrics: second.local_addr().map_err(no_port())?,
                    moray: local(0),
                    ufds: local(0),
                    manta: local(0),
                    control: local(0),
                    workflow: local(0),
                    vmapi: local(0),
                    cnapi: local(0),
                    sapi: local(0),
                })
            }
        }
    }
}

/// Finds a port for another process to bind, and holds it for as long as the listener lives. Ephemeral ports are avoided: an
/// outgoing connection could take one before the other process binds it.
///
/// # Errors
/// Fails if many ports in a row are in use.
pub fn free_port() -> io::Result<TcpListener> {
    let mut taken = None;
    for _ in 0..TRIES {
        let port =
            FIRST_FREE + u16::try_from(Uuid::new_v4().as_u128() % u128::from(FREE)).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => taken = Some(error),
        }
    }
    Err(taken.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_base_gives_consecutive_ports() {
        let addresses = Ports::Base(20_000).choose().await.unwrap();
        assert_eq!(addresses.imgapi.port(), 20_000);
        assert_eq!(addresses.ufds.port(), 20_003);
        assert_eq!(addresses.control.port(), 20_005);
        assert_eq!(addresses.sapi.port(), 20_009);
        assert!(Ports::Base(65_527).choose().await.is_err());
        assert!(Ports::Base(0).choose().await.is_err());
    }

    #[tokio::test]
    async fn free_ports_differ() {
        let addresses = Ports::Auto.choose().await.unwrap();
        assert_ne!(addresses.imgapi.port(), 0);
        assert_ne!(addresses.imgapi, addresses.metrics);
    }
}
