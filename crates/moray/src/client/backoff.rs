// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Exponential backoff between attempts to connect.

use std::time::Duration;

/// Relative jitter of a wait in both directions, so that clients that lost the same server do not all return at once.
const SPREAD: f64 = 0.2;

/// Waits that double up to a maximum.
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial.min(max) }
    }

    /// Returns the next wait, with jitter.
    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        wait.mul_f64(rand::random_range(1.0 - SPREAD..=1.0 + SPREAD))
    }

    pub(super) fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        let within = |wait: Duration, middle: f64| (wait.as_secs_f64() / middle - 1.0).abs() <= SPREAD + 1e-6;
        for middle in [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0] {
            let wait = backoff.next_wait();
            assert!(within(wait, middle), "{wait:?} is not about {middle} s");
        }
        backoff.reset();
        assert!(within(backoff.next_wait(), 0.1));
    }
}
