// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How other servers are called.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

use super::Secret;
use super::jobs::http_url;
use super::read::Reader;

const MAX_SOCKETS: u64 = 100_000;

/// Settings of the calls that fetch manifests and files from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `httpProxy`: URL of the proxy through which other IMGAPIs are called; it may hold a password. A `file_url` is
    /// fetched without it, as by 4.13.1.
    pub http_proxy: Option<Secret>,
    /// `allowInsecure`: other IMGAPIs may have any certificate; `None` where nothing is said. The server of a `file_url` may
    /// not.
    pub allow_insecure: Option<bool>,
    /// `imgapiUrlFromDatacenter`: the datacenters that an account may import its images from.
    pub datacenters: Vec<RemoteDatacenter>,
    /// `maxSockets`: calls at a time.
    pub max_sockets: usize,
    /// `fileUrlDeny`: addresses that no `file_url` leads to.
    pub file_url_deny: Vec<IpNet>,
    /// `sourceDeny`: addresses that no `source` leads to. Empty by default: the IMGAPIs of operators are in admin
    /// networks.
    pub source_deny: Vec<IpNet>,
}

/// Another datacenter of the same cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDatacenter {
    /// What callers name.
    pub name: String,
    /// Its IMGAPI, as jobs are told it.
    pub url: String,
}

impl Outgoing {
    pub(super) fn read(root: &mut Reader<'_>) -> Outgoing {
        let max_sockets = root.integer("maxSockets", MAX_SOCKETS);
        if max_sockets == Some(0) {
            root.problem("maxSockets", "must be at least 1");
        }
        let outgoing = Outgoing {
            http_proxy: proxy(root),
            allow_insecure: root.has("allowInsecure").then(|| root.flag("allowInsecure")),
            datacenters: datacenters(&mut root.section("imgapiUrlFromDatacenter")),
            max_sockets: max_sockets.unwrap_or_default() as usize,
            file_url_deny: networks(root, "fileUrlDeny"),
            source_deny: networks(root, "sourceDeny"),
        };
        if outgoing.http_proxy.is_some() && !outgoing.source_deny.is_empty() {
            root.problem("sourceDeny", "cannot be kept with httpProxy: it is the proxy that connects");
        }
        outgoing
    }
}

/// In the order of the file. A name without a URL, as a template may render it, is none.
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
