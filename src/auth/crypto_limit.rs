// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::AuthError;
use crate::platform::processors;

/// How long a request may wait for its permit.
const QUEUE_TIME: Duration = Duration::from_secs(10);

/// The most waiting requests of one address, and of all addresses together.
const MOST_OF_ONE: usize = 16;
const MOST_WAITING: usize = 64;

/// The most permits at a time, on any number of processors, because each takes memory.
const MOST_AT_ONCE: usize = 8;

/// Runs cryptography on blocking threads, on all processors but one. This bounds its memory, and clients that send
/// wrong passwords do not occupy the threads that others need.
///
/// Addresses take turns, and among the requests of one address the newest goes first: a user does not have to wait for
/// a crowd of earlier requests that will be rejected in the end.
#[derive(Debug)]
pub(super) struct CryptoLimit(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    most_at_once: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    taken: usize,
    /// Waiting requests by address. The first address is the next to get a permit.
    addresses: VecDeque<(Option<IpAddr>, VecDeque<Sender<CryptoPermit>>)>,
}

/// The permission to run. When it is dropped, the next request gets it.
#[derive(Debug)]
struct CryptoPermit(Arc<Queue>);

impl Default for CryptoLimit {
    fn default() -> CryptoLimit {
        CryptoLimit::new((processors() - 1).clamp(1, MOST_AT_ONCE))
    }
}

impl CryptoLimit {
    fn new(most_at_once: usize) -> CryptoLimit {
        CryptoLimit(Arc::new(Queue { most_at_once, waiting: Mutex::default() }))
    }

    /// Runs `work` for a request from this address when it gets its permit. `Busy` if too many requests wait, or if the
    /// wait is too long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        address: Option<IpAddr>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let permit = timeout(QUEUE_TIME, self.0.queue(address.map(network))).await;
        let Ok(Ok(permit)) = permit else { return Err(AuthError::Busy) };
        let done = tokio::task::spawn_blocking(move || {
            // The permit ends with the work, even if the caller no longer waits for it.
            let _turn = permit;
            work()
        });
        done.await.map_err(|_| AuthError::Busy)
    }
}

/// Returns the network that counts as one address, because an IPv6 client usually has many addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

impl Queue {
    /// Queues a request, or gives it a free permit. If the queue is full, the oldest request of the address with the most
    /// waiting requests is dropped.
    fn queue(self: &Arc<Self>, address: Option<IpAddr>) -> Receiver<CryptoPermit> {
        let (permit, wait) = channel();
        let mut waiting = self.waiting();
        if waiting.taken < self.most_at_once {
            waiting.taken += 1;
            drop(waiting);
            // This cannot fail, because the receiver still exists.
            drop(permit.send(CryptoPermit(Arc::clone(self))));
            return wait;
        }
        let addresses = &mut waiting.addresses;
        addresses.iter_mut().for_each(|(_, who)| who.retain(|permit| !permit.is_closed()));
        addresses.retain(|(_, who)| !who.is_empty());
        match addresses.iter_mut().find(|(known, _)| *known == address) {
            Some((_, who)) => who.push_back(permit),
            None => addresses.push_back((address, [permit].into())),
        }
        let count = addresses.iter().map(|(_, who)| who.len()).sum::<usize>();
        if let Some((_, who)) = addresses.iter_mut().max_by_key(|(_, who)| who.len())
            && (who.len() > MOST_OF_ONE || count > MOST_WAITING)
        {
            who.pop_front();
        }
        wait
    }

    /// Returns the request that gets the next permit.
    fn next(&self) -> Option<Sender<CryptoPermit>> {
        let mut waiting = self.waiting();
        while let Some((address, mut who)) = waiting.addresses.pop_front() {
            let next = who.pop_back();
            if !who.is_empty() {
                waiting.addresses.push_back((address, who));
            }
            if next.is_some() {
                return next;
            }
        }
        waiting.taken -= 1;
        None
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each change is complete before anything can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CryptoPermit {
    fn drop(&mut self) {
        if let Some(next) = self.0.next() {
            // A caller that no longer waits drops the permit at once.
            drop(next.send(CryptoPermit(Arc::clone(&self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn there(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([198, 51, 100, number]))
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so() {
        let crypto_limit = CryptoLimit::new(1);
        let permit = crypto_limit.0.queue(None).try_recv().unwrap();
        assert!(matches!(crypto_limit.run(HERE, || ()).await, Err(AuthError::Busy)));
        drop(permit);
        crypto_limit.run(HERE, || ()).await.unwrap();
    }

    #[tokio::test]
    async fn a_crowd_is_refused_at_once_and_the_last_to_come_is_the_next() {
        let crypto_limit = CryptoLimit::new(1);
        let permit = crypto_limit.0.queue(None).try_recv().unwrap();
        let (order, done) = mpsc::channel();
        let work = |number| {
            let order = order.clone();
            crypto_limit.run(HERE, move || order.send(number).unwrap())
        };
        let mut all = pin!(join_all((0..600).map(work)));
        // All requests are in the queue, or have been.
        assert!(futures_util::poll!(&mut all).is_pending());
        assert_eq!(crypto_limit.0.waiting().addresses[0].1.len(), MOST_OF_ONE);
        drop(permit);
        let outcomes = all.await;
        let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(AuthError::Busy))).count();
        assert_eq!(busy, 600 - MOST_OF_ONE);
        let expected: Vec<_> = (600 - MOST_OF_ONE..600).rev().collect();
        assert_eq!(done.try_iter().collect::<Vec<_>>(), expected);
        assert_eq!(crypto_limit.0.waiting().taken, 0);
    }

    #[tokio::test]
    async fn addresses_take_turns_and_few_wait_in_all() {
        let crypto_limit = CryptoLimit::new(1);
        let permit = crypto_limit.0.queue(None).try_recv().unwrap();
        let crowd: Vec<_> = (0..MOST_OF_ONE).map(|_| crypto_limit.0.queue(HERE)).collect();
        let mut other = crypto_limit.0.queue(there(1));
        drop(permit);
        // One request of the crowd has the permit, and the other address is next.
        let mut crowd = crowd.into_iter().rev();
        drop(crowd.next().unwrap().await.unwrap());
        drop(other.try_recv().unwrap());
        let others: Vec<_> = (0..200).map(|number| crypto_limit.0.queue(there(number))).collect();
        let waiting = crypto_limit.0.waiting().addresses.iter().map(|(_, who)| who.len()).sum::<usize>();
        assert!(waiting <= MOST_WAITING);
        drop((crowd, others));
        drop(crypto_limit.0.queue(HERE));
        assert!(crypto_limit.0.waiting().addresses.len() <= 1, "who has gone does not wait");
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let [one, two, other] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|address| network(address.parse().unwrap()));
        assert_eq!(one, two);
        assert_ne!(one, other);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), HERE.unwrap());
    }
}
