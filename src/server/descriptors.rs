// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! File descriptors: raises their limit as far as the system allows, and shares them out.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any number of connections needs.
const ENOUGH: u64 = 1 << 22;

/// The descriptors of one connection: its socket, its file, and one more file or a connection to Manta or another server.
const OF_A_CONNECTION: u64 = 3;

/// Descriptors reserved for the backends, the log and background work.
const RESERVE: u64 = 128;

/// How many files this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors(u64);

/// How many connections of each kind there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionLimits {
    /// Connections that are served.
    pub(super) served: usize,
    /// Connections over the limit, which get a 503.
    pub(super) refused: usize,
    /// Connections of metrics scrapers.
    pub(super) metrics: usize,
}

impl Descriptors {
    /// Raises the limit to the most that the system allows this process, and returns it.
    pub(super) fn raise() -> Descriptors {
        let limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
        if limit.current.is_some_and(|current| current < wanted) {
            // If raising fails, the limit stays; the value read afterwards counts.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
        }
        Descriptors::current()
    }

    /// Returns the current limit.
    pub(super) fn current() -> Descriptors {
        Descriptors(getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH))
    }

    /// Returns the connections that the limit allows, at most `max_connections` of clients: 261 for 1,024 descriptors.
    pub(super) fn share(self, max_connections: usize) -> ConnectionLimits {
        let left = self.0.saturating_sub(RESERVE.min(self.0 / 2));
        let number = |share: u64| usize::try_from(share.max(1)).unwrap_or(usize::MAX);
        let (refused, metrics) = ((left / 16).min(256), (left / 32).min(100));
        let served = (left - refused - 2 * metrics) / OF_A_CONNECTION;
        ConnectionLimits {
            served: number(served).min(max_connections),
            refused: number(refused),
            metrics: number(metrics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_all_descriptors() {
        for limit in (8..3000).chain([65_536, 1 << 20, ENOUGH]) {
            let share = Descriptors(limit).share(10_000);
            let taken = share.served * 3 + share.refused + 2 * share.metrics;
            let left = limit - (taken as u64).min(limit);
            assert!(left >= RESERVE.min(limit / 2) - 4.min(limit / 2), "{limit}: {share:?}");
            assert!(share.served > 0 && share.served <= 10_000);
        }
        assert_eq!(Descriptors(1024).share(10_000).served, 261);
        assert_eq!(Descriptors(65_536).share(10_000).served, 10_000);
        assert_eq!(Descriptors(65_536).share(7).served, 7);
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let Descriptors(limit) = Descriptors::raise();
        let maximum = getrlimit(Resource::Nofile).maximum.unwrap_or(ENOUGH);
        assert_eq!(limit, maximum.min(ENOUGH).max(limit));
        assert!(limit >= maximum.min(ENOUGH));
    }
}
