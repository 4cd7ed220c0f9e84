// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How slow the other end of a transfer may be.

use std::time::Duration;

use super::read::Reader;

const MAX_IDLE_SECONDS: u64 = 3600;
const MAX_MIN_RATE: u64 = 1 << 30;

/// What a transfer has to keep to. It may take as long as it likes otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// `transferIdleSeconds`: the longest wait for the other end to send or take anything.
    pub idle: Duration,
    /// `transferMinRate`: bytes per second, averaged over `idle` of waiting for the other end; 0 for any.
    pub min_rate: u64,
}

impl TransferLimits {
    pub(super) fn read(root: &mut Reader<'_>) -> TransferLimits {
        let idle = root.integer("transferIdleSeconds", MAX_IDLE_SECONDS);
        if idle == Some(0) {
            root.problem("transferIdleSeconds", "must be at least 1");
        }
        TransferLimits {
            idle: Duration::from_secs(idle.unwrap_or_default()),
            min_rate: root.integer("transferMinRate", MAX_MIN_RATE).unwrap_or_default(),
        }
    }

    /// A transfer that waited for longer than it may.
    pub fn idle_for_too_long(self) -> Stalled {
        Stalled::Idle(self.idle)
    }
}

/// Why a transfer was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    /// Nothing moved for too long.
    #[error("nothing moved for {} s", .0.as_secs_f64())]
    Idle(Duration),
    /// Too little moved.
    #[error("fewer than {0} bytes per second moved")]
    Slow(u64),
}

/// Watches the rate of one transfer. The clock runs only while the other end is waited for, so that nobody pays for a
/// slow disk of ours.
#[derive(Debug, Clone)]
pub struct Pace {
    limits: TransferLimits,
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// Of a transfer that begins.
    pub fn new(limits: TransferLimits) -> Pace {
        Pace { limits, waited: Duration::ZERO, moved: 0 }
    }

    /// Notes that the other end moved `bytes` after it was waited for.
    ///
    /// # Errors
    /// When too little has moved in all the waiting since the last look.
    pub fn advance(&mut self, waited: Duration, bytes: u64) -> Result<(), Stalled> {
        self.waited += waited;
        self.moved += bytes;
        if self.waited < self.limits.idle {
            return Ok(());
        }
        let least = self.waited.as_secs_f64() * self.limits.min_rate as f64;
        let enough = self.moved as f64 >= least;
        *self = Pace::new(self.limits);
        if enough { Ok(()) } else { Err(Stalled::Slow(self.limits.min_rate)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TransferLimits = TransferLimits { idle: Duration::from_secs(10), min_rate: 100 };

    fn after(steps: impl IntoIterator<Item = (u64, u64)>) -> Result<(), Stalled> {
        let mut pace = Pace::new(LIMITS);
        steps.into_iter().try_for_each(|(seconds, bytes)| pace.advance(Duration::from_secs(seconds), bytes))
    }

    #[test]
    fn a_transfer_keeps_the_rate_on_average() {
        assert_eq!(after([(1, 100); 60]), Ok(()));
        assert_eq!(after([(9, 0), (1, 1000), (9, 0), (1, 1000)]), Ok(()));
        assert_eq!(after([(1, 99); 60]), Err(Stalled::Slow(100)));
        assert_eq!(after([(9, 1), (5, 1)]), Err(Stalled::Slow(100)));
    }

    #[test]
    fn a_good_beginning_is_no_excuse_for_the_rest() {
        assert_eq!(after([(10, 1 << 40), (9, 1), (1, 1)]), Err(Stalled::Slow(100)));
    }

    #[test]
    fn what_is_not_waited_for_takes_no_time() {
        assert_eq!(after([(0, 1); 1000]), Ok(()));
    }

    #[test]
    fn any_rate_will_do_when_none_is_asked_for() {
        let mut pace = Pace::new(TransferLimits { min_rate: 0, ..LIMITS });
        assert_eq!(pace.advance(Duration::from_secs(1000), 0), Ok(()));
    }
}
