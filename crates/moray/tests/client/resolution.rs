// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Name resolution, with a DNS server.

use std::net::Ipv4Addr;
use std::time::Duration;

use moray::{CallOptions, Client, Config, Endpoint, Error};

use crate::support::{DnsServer, Server, connected, failed, soon};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn config(dns: &DnsServer, endpoint: Endpoint) -> Config {
    let mut config = Config::new(endpoint);
    config.nameservers = vec![dns.address];
    config.connections = 2;
    config.backoff_initial = Duration::from_millis(5);
    config.backoff_max = Duration::from_millis(20);
    config
}

fn srv(fallback_port: u16) -> Endpoint {
    Endpoint::Srv { domain: "moray.coal.example.com".to_owned(), fallback_port }
}

#[tokio::test]
async fn connections_spread_over_the_processes_of_the_srv_records() {
    let dns = DnsServer::start().await;
    let servers = [Server::start().await, Server::start().await];
    let targets = servers.each_ref().map(|server| (server.address.port(), "zone.moray.coal.example.com."));
    dns.set_srv("_moray._tcp.moray.coal.example.com.", &targets);
    dns.set_a("zone.moray.coal.example.com.", &[LOCALHOST]);
    let client = Client::new(config(&dns, srv(1)));
    connected(&client, 2).await;
    assert_eq!(servers.each_ref().map(Server::accepted), [1, 1]);
    soon(client.ping(false, &CallOptions::default())).await.unwrap();
}

#[tokio::test]
async fn a_domain_without_srv_records_is_a_host() {
    let dns = DnsServer::start().await;
    let server = Server::start().await;
    dns.set_a("moray.coal.example.com.", &[LOCALHOST]);
    let client = Client::new(config(&dns, srv(server.address.port())));
    connected(&client, 2).await;
}

#[tokio::test]
async fn a_direct_endpoint_does_not_look_at_srv_records() {
    let dns = DnsServer::start().await;
    let server = Server::start().await;
    dns.set_a("moray.coal.example.com.", &[LOCALHOST]);
    dns.set_srv("_moray._tcp.moray.coal.example.com.", &[(1, "moray.coal.example.com.")]);
    let host = "moray.coal.example.com".to_owned();
    let client = Client::new(config(&dns, Endpoint::Direct { host, port: server.address.port() }));
    connected(&client, 2).await;
}

#[tokio::test]
async fn a_name_that_appears_later_is_found() {
    let dns = DnsServer::start().await;
    let server = Server::start().await;
    let mut config = config(&dns, srv(server.address.port()));
    config.unavailable_wait = Duration::from_millis(50);
    let client = Client::new(config);
    failed(&client).await;
    let error = client.ping(false, &CallOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("cannot resolve"), "{error}");
    assert!(matches!(error, Error::Unavailable { .. }));
    dns.set_a("moray.coal.example.com.", &[LOCALHOST]);
    connected(&client, 2).await;
}

#[tokio::test]
async fn an_instance_that_moved_is_found_after_connections_failed() {
    let dns = DnsServer::start().await;
    let old = Server::start().await;
    let name = "_moray._tcp.moray.coal.example.com.";
    dns.set_srv(name, &[(old.address.port(), "zone.moray.coal.example.com.")]);
    dns.set_a("zone.moray.coal.example.com.", &[LOCALHOST]);
    let client = Client::new(config(&dns, srv(1)));
    connected(&client, 2).await;
    let new = Server::start().await;
    dns.set_srv(name, &[(new.address.port(), "zone.moray.coal.example.com.")]);
    drop(old);
    soon(async {
        while new.accepted() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    connected(&client, 2).await;
}
