// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The settings of calls to other servers.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::Secret;
use super::jobs::http_url;
use super::read::Reader;

const MAX_SOCKETS: u64 = 100_000;

/// Settings of the calls that fetch manifests and files from other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `httpProxy`: URL of the proxy for calls to other IMGAPIs and to container registries; it may contain a password. As in 4.13.1, a `file_url`
    /// is fetched without it.
    pub http_proxy: Option<Secret>,
    /// `allowInsecure`: accepts any certificate of other IMGAPIs; `None` if not configured. It does not apply to the
    /// server of a `file_url`.
    pub allow_insecure: Option<bool>,
    /// `imgapiUrlFromDatacenter`: the datacenters that an account may import its images from.
    pub datacenters: Vec<RemoteDatacenter>,
    /// `lxdRegistries`: the image servers of LXD that operators import from, and the two that are built in.
    pub lxd_registries: Vec<LxdRegistry>,
    /// `maxSockets`: the most calls at a time.
    pub max_sockets: usize,
    /// `fileUrlDeny`: addresses that a `file_url` must not lead to.
    pub file_url_deny: Vec<IpNet>,
    /// `sourceDeny`: addresses that a `source` must not lead to. Empty by default, because operators' IMGAPIs are in
    /// admin networks.
    pub source_deny: Vec<IpNet>,
    /// `dockerRegistryInsecure`: accepts any certificate of container registries.
    pub docker_registry_insecure: bool,
    /// `registryDeny`: addresses that a container registry must not have, nor a server that it leads to.
    pub registry_deny: Vec<IpNet>,
    /// `registryAllow`: the hosts for which that does not count.
    pub registry_allow: Vec<String>,
}

/// Another datacenter of the same cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDatacenter {
    /// The name that callers use.
    pub name: String,
    /// The URL of its IMGAPI, as passed to jobs.
    pub url: String,
}

/// An image server of LXD or Incus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LxdRegistry {
    /// The name that callers use, before the colon of an alias.
    pub name: String,
    /// Where its `streams` are.
    pub url: Url,
}

/// The servers that every configuration has, unless it gives their names to others.
const LXD_REGISTRIES: [(&str, &str); 2] = [
    ("images", "https://us.lxd.images.canonical.com"),
    ("ubuntu", "https://cloud-images.ubuntu.com/releases"),
];

impl Outgoing {
    pub(super) fn read(root: &mut Reader<'_>) -> Outgoing {
        let max_sockets = root.integer("maxSockets", 1..=MAX_SOCKETS);
        let outgoing = Outgoing {
            http_proxy: proxy(root),
            allow_insecure: root.has("allowInsecure").then(|| root.flag("allowInsecure")),
            datacenters: datacenters(&mut root.section("imgapiUrlFromDatacenter")),
            lxd_registries: lxd_registries(&mut root.section("lxdRegistries")),
            max_sockets: max_sockets.unwrap_or_default() as usize,
            file_url_deny: networks(root, "fileUrlDeny"),
            source_deny: networks(root, "sourceDeny"),
            docker_registry_insecure: root.flag("dockerRegistryInsecure"),
            registry_deny: networks(root, "registryDeny"),
            registry_allow: hosts(root, "registryAllow"),
        };
        if outgoing.http_proxy.is_some() && !outgoing.source_deny.is_empty() {
            root.problem("sourceDeny", "cannot be kept with httpProxy: it is the proxy that connects");
        }
        outgoing
    }
}

/// Reads the datacenters in the order of the file. A name without a URL, which a template may render, is ignored.
fn datacenters(section: &mut Reader<'_>) -> Vec<RemoteDatacenter> {
    let mut datacenters = Vec::new();
    for name in section.keys() {
        if http_url(section, &name).is_some()
            && let Some(url) = section.text(&name)
        {
            datacenters.push(RemoteDatacenter { name, url });
        }
    }
    datacenters
}

/// Reads the image servers, and adds those that are built in.
fn lxd_registries(section: &mut Reader<'_>) -> Vec<LxdRegistry> {
    let mut registries = Vec::new();
    for name in section.keys() {
        registries.extend(http_url(section, &name).map(|url| LxdRegistry { name, url }));
    }
    for (name, url) in LXD_REGISTRIES {
        if let Ok(url) = url.parse()
            && registries.iter().all(|registry| registry.name != name)
        {
            registries.push(LxdRegistry { name: name.to_owned(), url });
        }
    }
    registries
}

fn proxy(root: &mut Reader<'_>) -> Option<Secret> {
    let text = root.text("httpProxy")?;
    let usable =
        Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    if !usable {
        root.problem("httpProxy", "must be the http or https URL of a proxy");
    }
    Some(Secret::new(text))
}

fn networks(root: &mut Reader<'_>, key: &str) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in root.texts(key) {
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => root.problem(key, format!("has {text:?}, which is neither a network nor an address")),
        }
    }
    networks
}

fn hosts(root: &mut Reader<'_>, key: &str) -> Vec<String> {
    let hosts = root.texts(key);
    for host in &hosts {
        // As the host of a URL: an IPv6 address is in brackets.
        if Host::parse(host).is_err() {
            root.problem(key, format!("has {host:?}, which is neither a host name nor an address"));
        }
    }
    hosts
}
