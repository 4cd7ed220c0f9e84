// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Resolves an endpoint to addresses and keeps them up to date.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver as Dns, TokioResolver};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::{Config, Endpoint};

/// Minimum and maximum time for which an answer is used. The cache of binder, Triton's DNS server, is itself up to 60 s old.
const TTL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Minimum time between two lookups, however many connections fail. Also the wait after a failed lookup.
const PAUSE: Duration = Duration::from_secs(1);

/// Timeout of one lookup. It exceeds the 5 s after which the resolver asks the next server.
const LOOKUP_LIMIT: Duration = Duration::from_secs(12);

/// The current knowledge about the addresses of an endpoint.
#[derive(Clone)]
pub(super) enum Addresses {
    /// No lookup has ended yet.
    Unknown,
    /// The addresses of the last successful lookup. They stay if later lookups fail.
    Known(Arc<[SocketAddr]>),
    /// No lookup has succeeded so far. Holds why the last one failed.
    Failed(Arc<str>),
}

/// Looks up an endpoint when its last answer expires or a connection fails.
pub(super) struct Resolver {
    addresses: watch::Sender<Addresses>,
    refresh: Notify,
}

impl Resolver {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let known = match endpoint.literal() {
            Some(address) => Addresses::Known([address].into()),
            None => Addresses::Unknown,
        };
        Self { addresses: watch::Sender::new(known), refresh: Notify::new() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }

    /// Requests a lookup soon.
    pub(super) fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// Looks up addresses for ever. Returns only if the endpoint is an IP address.
    pub(super) async fn run(&self, config: &Config) {
        if config.endpoint.literal().is_some() {
            return;
        }
        loop {
            let until = match timeout(LOOKUP_LIMIT, look_up(config)).await {
                Ok(Ok((addresses, until))) => {
                    self.publish(addresses);
                    until
                }
                Ok(Err(reason)) => self.note_failure(&config.endpoint, &reason),
                Err(_) => self.note_failure(&config.endpoint, "not answered"),
            };
            sleep(PAUSE).await;
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.refresh.notified() => {}
            }
        }
    }

    /// Replaces the current addresses.
    pub(super) fn publish(&self, addresses: Vec<SocketAddr>) {
        self.addresses.send_if_modified(|known| {
            let same = matches!(known, Addresses::Known(old) if **old == *addresses);
            if !same {
                tracing::debug!(?addresses, "moray resolved");
                *known = Addresses::Known(addresses.into());
            }
            !same
        });
    }

    fn note_failure(&self, endpoint: &Endpoint, reason: &str) -> Instant {
        tracing::debug!(%endpoint, reason, "moray not resolved");
        self.addresses.send_if_modified(|known| {
            let first = !matches!(known, Addresses::Known(_));
            if first {
                *known = Addresses::Failed(format!("cannot resolve {endpoint}: {reason}").into());
            }
            first
        });
        Instant::now()
    }
}

/// Returns the sorted addresses, at least one, and the time of the next lookup.
async fn look_up(config: &Config) -> Result<(Vec<SocketAddr>, Instant), String> {
    let (host, port) = config.endpoint.host_and_port();
    let Some(dns) = dns_client(&config.nameservers)? else { return look_up_by_system(host, port).await };
    let mut found = match &config.endpoint {
        Endpoint::Srv { domain, .. } => look_up_srv(&dns, domain).await,
        Endpoint::Direct { .. } => None,
    };
    if found.is_none() {
        let answer = dns.lookup_ip(host).await.map_err(|error| error.to_string())?;
        let addresses = answer.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        found = Some((addresses, Instant::from_std(answer.valid_until())));
    }
    let (mut addresses, valid_until): (Vec<_>, _) = found.unwrap_or((Vec::new(), Instant::now()));
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err("no addresses".to_owned());
    }
    let now = Instant::now();
    Ok((addresses, valid_until.clamp(now + TTL.0, now + TTL.1)))
}

/// Returns the addresses from the SRV records. Returns `None` if there are no records or the lookup fails; then the caller
/// resolves the host name. Priorities and weights are ignored, because binder gives all records the same.
async fn look_up_srv(dns: &TokioResolver, domain: &str) -> Option<(Vec<SocketAddr>, Instant)> {
    let answer = dns.srv_lookup(format!("_moray._tcp.{}.", domain.trim_end_matches('.'))).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(domain, %error, "no SRV records for moray");
            return None;
        }
    };
    let mut valid_until = answer.valid_until();
    let mut addresses = Vec::new();
    for record in answer.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        match dns.lookup_ip(srv.target.clone()).await {
            Ok(ips) => {
                valid_until = valid_until.min(ips.valid_until());
                addresses.extend(ips.iter().map(|ip| SocketAddr::new(ip, srv.port)));
            }
            Err(error) => tracing::debug!(target = %srv.target, %error, "moray instance not resolved"),
        }
    }
    (!addresses.is_empty()).then_some((addresses, Instant::from_std(valid_until)))
}

/// Creates a new DNS client for every lookup: its cache would hide that an instance died, and `/etc/resolv.conf` may change.
fn dns_client(nameservers: &[SocketAddr]) -> Result<Option<TokioResolver>, String> {
    let builder = if nameservers.is_empty() {
        match TokioResolver::builder_tokio() {
            Ok(builder) => builder,
            Err(error) => {
                tracing::debug!(%error, "no DNS configuration, asking the system");
                return Ok(None);
            }
        }
    } else {
        let servers = nameservers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            config.connections.iter_mut().for_each(|connection| connection.port = server.port());
            config
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Dns::builder_with_config(config, TokioRuntimeProvider::default())
    };
    builder.build().map(Some).map_err(|error| error.to_string())
}

async fn look_up_by_system(host: &str, port: u16) -> Result<(Vec<SocketAddr>, Instant), String> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    Ok((found.collect(), Instant::now() + TTL.1))
}
