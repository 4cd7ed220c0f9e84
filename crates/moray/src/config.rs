// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where Moray is, and how long and how much a client bears.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::fast::{DEFAULT_MAX_PAYLOAD, Version};

/// The longest time that can be added to any clock.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where Moray is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or an IP address, and a port. In a datacenter port 2020 is a balancer in front of the processes of one
    /// zone.
    Direct {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The SRV records `_moray._tcp.<domain>`, one for each server process. A domain without them is taken for a host
    /// name.
    Srv {
        /// Domain, such as `moray.coal.example.com`.
        domain: String,
        /// TCP port where there are no SRV records; 2020 in a datacenter.
        fallback_port: u16,
    },
}

impl Endpoint {
    /// The name to look up, and the port that goes with its addresses.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        match self {
            Self::Direct { host, port } => (host, *port),
            Self::Srv { domain, fallback_port } => (domain, *fallback_port),
        }
    }

    /// The address, when there is nothing to look up.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        let (host, port) = self.host_and_port();
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { host, port } => write!(f, "{host}:{port}"),
            Self::Srv { domain, .. } => write!(f, "_moray._tcp.{domain}"),
        }
    }
}

/// Settings of a [`Client`](crate::Client). [`Config::new`] gives the defaults named here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where Moray is found.
    pub endpoint: Endpoint,
    /// DNS servers to ask; none means those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// Connections to keep up, spread over the addresses: 4. One is enough to be correct.
    pub connections: usize,
    /// Version of FAST to send: 2. Version 1 is for servers older than node-fast 3.0.
    pub version: Version,
    /// Time to open a TCP connection: 3 s.
    pub connect_timeout: Duration,
    /// First wait after a failed connection: 100 ms. It doubles with every further failure.
    pub backoff_initial: Duration,
    /// Longest wait after a failed connection: 3 s, so that a server that comes back is found within seconds.
    /// Waits are spread by 20 % either way. They start again at the first one when a ping was answered.
    pub backoff_max: Duration,
    /// Time for a call to wait for a connection when there is none: 2 s.
    pub unavailable_wait: Duration,
    /// Deadline of calls that read one thing (`getObject`, `getBucket`, `ping`): 10 s.
    pub read_deadline: Duration,
    /// Deadline of calls that write: 30 s.
    pub write_deadline: Duration,
    /// Deadline of `findObjects`, from its start to its last row: 30 s.
    pub find_deadline: Duration,
    /// A connection that received nothing for this long is pinged: 30 s.
    pub idle_ping: Duration,
    /// Time for a ping of the client's own, after which the connection is given up: 2 s.
    pub ping_limit: Duration,
    /// Greatest payload of a frame, sent or received, in bytes: 64 MiB.
    pub max_payload: usize,
    /// Requests queued for writing on one connection: 64. When they are as many, calls wait.
    pub queue: usize,
    /// Requests under way on one connection: 1024. When all connections have as many, calls fail with
    /// [`Error::Overloaded`](crate::Error::Overloaded).
    pub max_in_flight: usize,
    /// Rows of one request that wait to be taken, in bytes: 16 MiB. When they are as many, the connection waits.
    pub row_buffer: usize,
    /// Time for which one request, in all, may make its connection wait: 1 s. Then it fails with
    /// [`Error::SlowConsumer`](crate::Error::SlowConsumer) and the others on the connection go on.
    pub stall_limit: Duration,
    /// Greatest answer to collect, in bytes: 64 MiB. Streams have no such limit.
    pub max_result: usize,
}

impl Config {
    /// The defaults for an endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            nameservers: Vec::new(),
            connections: 4,
            version: Version::V2,
            connect_timeout: Duration::from_secs(3),
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(3),
            unavailable_wait: Duration::from_secs(2),
            read_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(30),
            find_deadline: Duration::from_secs(30),
            idle_ping: Duration::from_secs(30),
            ping_limit: Duration::from_secs(2),
            max_payload: DEFAULT_MAX_PAYLOAD,
            queue: 64,
            max_in_flight: 1024,
            row_buffer: 16 << 20,
            stall_limit: Duration::from_secs(1),
            max_result: 64 << 20,
        }
    }

    /// [`Config::new`] for a host and a port.
    pub fn direct(host: impl Into<String>, port: u16) -> Self {
        Self::new(Endpoint::Direct { host: host.into(), port })
    }

    /// [`Config::new`] for a domain with SRV records, or port 2020 where there are none.
    pub fn srv(domain: impl Into<String>) -> Self {
        Self::new(Endpoint::Srv { domain: domain.into(), fallback_port: 2020 })
    }

    /// The same within what works, where a caller set less or more.
    pub(crate) fn within_reason(mut self) -> Self {
        for size in [&mut self.connections, &mut self.queue, &mut self.max_in_flight, &mut self.row_buffer] {
            *size = (*size).max(1);
        }
        self.row_buffer = self.row_buffer.min(u32::MAX as usize);
        for time in [
            &mut self.connect_timeout,
            &mut self.backoff_initial,
            &mut self.backoff_max,
            &mut self.unavailable_wait,
            &mut self.read_deadline,
            &mut self.write_deadline,
            &mut self.find_deadline,
            &mut self.idle_ping,
            &mut self.ping_limit,
            &mut self.stall_limit,
        ] {
            *time = (*time).min(FOREVER);
        }
        self
    }
}
