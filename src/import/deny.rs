// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses that the server must not connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// Networks, including all other addresses that lead to them.
#[derive(Debug, Default)]
pub(super) struct DenyList {
    networks: Vec<IpNet>,
    /// Names and addresses, as they stand in URLs, that are allowed whatever network they are in.
    except: Vec<String>,
}

impl DenyList {
    pub(super) fn new(networks: Vec<IpNet>) -> DenyList {
        DenyList { networks, except: Vec::new() }
    }

    /// Allows these hosts.
    pub(super) fn except(self, hosts: Vec<String>) -> DenyList {
        DenyList { except: hosts, ..self }
    }

    /// Returns whether the host is allowed whatever its address is.
    pub(super) fn excepts(&self, host: &str) -> bool {
        self.except.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Returns whether the list contains the address itself, or the IPv4 address that it embeds.
    pub(super) fn denies(&self, address: IpAddr) -> bool {
        let inner = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => inner_v4(address).map(IpAddr::V4),
        };
        [Some(address), inner]
            .into_iter()
            .flatten()
            .any(|form| self.networks.iter().any(|net| net.contains(&form)))
    }

    /// Returns whether the URL contains a listed address. A host name is checked when it is resolved.
    pub(super) fn denies_literal(&self, url: &Url) -> bool {
        if url.host_str().is_some_and(|host| self.excepts(host)) {
            return false;
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.denies(address.into()),
            Some(Host::Ipv6(address)) => self.denies(address.into()),
            Some(Host::Domain(_)) | None => false,
        }
    }
}

/// Returns the IPv4 address to which systems, gateways or tunnels translate an IPv6 address.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // The unspecified address and loopback.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible, mapped, translated (RFC 4291, RFC 2765).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(last()),
        // NAT64: the well-known prefix, and the one for local use (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(last()),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> DenyList {
        let networks = ["127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"];
        DenyList::new(networks.map(|net| net.parse().unwrap()).into())
    }

    #[test]
    fn an_address_is_denied_in_every_form() {
        let denied = [
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ];
        for address in denied {
            assert!(list().denies(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn other_addresses_are_not() {
        for address in [
            "128.0.0.1",
            "10.0.0.1",
            "::2",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::",
        ] {
            assert!(!list().denies(address.parse().unwrap()), "{address}");
        }
        assert!(!DenyList::new(Vec::new()).denies("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_host_that_is_allowed_may_have_any_address() {
        let list = list().except(vec!["127.0.0.1".to_owned(), "[::1]".to_owned(), "Reg".to_owned()]);
        for url in ["http://127.0.0.1:5000/", "http://127.1/", "http://[::1]:5000/"] {
            assert!(!list.denies_literal(&url.parse().unwrap()), "{url}");
        }
        assert!(list.denies_literal(&"http://127.0.0.2/".parse().unwrap()));
        assert!(list.excepts("reg") && !list.excepts("reg.example.com"));
    }

    #[test]
    fn an_address_in_a_url_is_seen_however_it_is_written() {
        let denied = [
            "https://127.0.0.1/",
            "https://127.1/x",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://127.0.0.1:8443/",
            "https://user@127.0.0.1/",
            "https://\u{ff11}27.0.0.1/",
        ];
        for url in denied {
            assert!(list().denies_literal(&url.parse().unwrap()), "{url}");
        }
        for url in ["https://127.0.0.1.example.com/", "https://example.com/127.0.0.1", "https://8.8.8.8/"] {
            assert!(!list().denies_literal(&url.parse().unwrap()), "{url}");
        }
    }
}
