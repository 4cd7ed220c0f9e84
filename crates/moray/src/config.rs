// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Settings of a client: the address of Moray, times and limits.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::fast::{DEFAULT_MAX_PAYLOAD, Version};

/// The longest configurable time; adding it to a clock cannot overflow.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where Moray is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or an IP address, and a port. In a datacenter, port 2020 is a load balancer for the server processes of one
    /// zone.
    Direct {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The SRV records `_moray._tcp.<domain>`, one for each server process. A domain without SRV records is resolved as a host
    /// name.
    Srv {
        /// Domain, for example `moray.coal.example.com`.
        domain: String,
        /// TCP port for a domain without SRV records; 2020 in a datacenter.
        fallback_port: u16,
    },
}

impl Endpoint {
    /// Returns the name to look up, and the port to use with its addresses.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        match self {
            Self::Direct { host, port } => (host, *port),
            Self::Srv { domain, fallback_port } => (domain, *fallback_port),
        }
    }

    /// Returns the address if the host is an IP address, so that no lookup is needed.
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

/// Settings of a [`Client`](crate::Client). [`Config::new`] sets the defaults named here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where Moray is found.
    pub endpoint: Endpoint,
    /// DNS servers to ask; empty means those of the system, which is the default.
    pub nameservers: Vec<SocketAddr>,
    /// Number of connections to keep open, spread over the addresses. Default: 4. Correctness needs only one.
    pub connections: usize,
    /// FAST version of requests. Default: 2. Version 1 is for servers older than node-fast 3.0.
    pub version: Version,
    /// Timeout for opening a TCP connection. Default: 3 s.
    pub connect_timeout: Duration,
    /// First wait after a failed connection. Default: 100 ms. The wait doubles with every further failure.
    pub backoff_initial: Duration,
    /// Longest wait after a failed connection. Default: 3 s, so that a returning server is found within seconds. Waits have a
    /// jitter of 20 % in both directions. An answered ping resets the wait to the first one.
    pub backoff_max: Duration,
    /// Time for which a call waits for a connection if there is none. Default: 2 s.
    pub unavailable_wait: Duration,
    /// Deadline of calls that read one thing (`getObject`, `getBucket`, `ping`). Default: 10 s.
    pub read_deadline: Duration,
    /// Deadline of calls that write. Default: 30 s.
    pub write_deadline: Duration,
    /// Deadline of `findObjects`, from its start to its last row. Default: 30 s.
    pub find_deadline: Duration,
    /// Time without received data after which a connection is pinged. Default: 30 s.
    pub idle_ping: Duration,
    /// Timeout of the client's own pings; a connection that exceeds it is closed. Default: 2 s.
    pub ping_limit: Duration,
    /// Maximum payload of a frame, sent or received, in bytes. Default: 64 MiB.
    pub max_payload: usize,
    /// Maximum number of requests queued for writing on one connection. Default: 64. While the queue is full, calls wait.
    pub queue: usize,
    /// Maximum number of requests in flight on one connection. Default: 1024. If all connections are full, calls fail with
    /// [`Error::Overloaded`](crate::Error::Overloaded).
    pub max_in_flight: usize,
    /// Maximum size of the rows of one request that wait to be taken, in bytes. Default: 16 MiB. While it is reached, the
    /// connection waits.
    pub row_buffer: usize,
    /// Total time for which one request may make its connection wait. Default: 1 s. Then the request fails with
    /// [`Error::SlowConsumer`](crate::Error::SlowConsumer), and the other requests on the connection continue.
    pub stall_limit: Duration,
    /// Maximum size of a collected answer, in bytes. Default: 64 MiB. Streams have no such limit.
    pub max_result: usize,
}

impl Config {
    /// The default settings for an endpoint.
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

    /// The default settings for a host and a port.
    pub fn direct(host: impl Into<String>, port: u16) -> Self {
        Self::new(Endpoint::Direct { host: host.into(), port })
    }

    /// The default settings for a domain with SRV records. Without SRV records, port 2020 is used.
    pub fn srv(domain: impl Into<String>) -> Self {
        Self::new(Endpoint::Srv { domain: domain.into(), fallback_port: 2020 })
    }

    /// Moves values that are too small or too large into the range that works.
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
