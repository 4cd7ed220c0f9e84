// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How slow the peer of a transfer may be.

use std::time::Duration;

use super::read::Reader;

const MAX_IDLE_SECONDS: u64 = 3600;
const MAX_MIN_RATE: u64 = 1 << 30;

/// The limits of a transfer. Its total duration is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// `transferIdleSeconds`: the longest wait for the peer to send or receive anything.
    pub idle: Duration,
    /// `transferMinRate`: the lowest rate in bytes per second, averaged over a time `idle` of waiting for the peer; 0
    /// for no limit.
    pub min_rate: u64,
}

impl TransferLimits {
    pub(super) fn read(root: &mut Reader<'_>) -> TransferLimits {
        let idle = root.integer("transferIdleSeconds", 1..=MAX_IDLE_SECONDS);
        TransferLimits {
            idle: Duration::from_secs(idle.unwrap_or_default()),
            min_rate: root.integer("transferMinRate", 0..=MAX_MIN_RATE).unwrap_or_default(),
        }
    }

    /// Returns the error of a transfer that waited too long.
    pub fn idle_for_too_long(self) -> Stalled {
        Stalled::Idle(self.idle)
    }
}

/// Why a transfer was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    /// No byte was transferred for too long.
    #[error("nothing moved for {} s", .0.as_secs_f64())]
    Idle(Duration),
    /// The rate was too low.
    #[error("fewer than {0} bytes per second moved")]
    Slow(u64),
}

/// Measures the rate of one transfer. Only the time spent waiting for the peer counts, so that a slow local disk is not
/// held against it.
#[derive(Debug, Clone)]
pub struct Pace {
    limits: TransferLimits,
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// Starts the measurement of a transfer.
    pub fn new(limits: TransferLimits) -> Pace {
        Pace { limits, waited: Duration::ZERO, moved: 0 }
    }

    /// Notes that the peer has transferred `bytes` after a wait.
    ///
    /// # Errors
    /// Too few bytes were transferred in the waiting time since the last check.
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
