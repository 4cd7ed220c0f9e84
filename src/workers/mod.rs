// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Background work in units, one after the other, and its status for operators.
//!
//! Other rooms define the work: each kind of work is a [`Worker`]. [`Workers`] runs them.

mod runner;
mod status;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub use runner::{Prepared, Workers};
pub use status::{LastError, Progress, State, Status};

/// Why a unit of work failed.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One kind of background work.
pub trait Worker: Send + 'static {
    /// The worker's name for operators: lower-case words with hyphens, from a small set.
    fn name(&self) -> &'static str;

    /// Does one unit of work, and returns when the next one is due. It may be cancelled at every `await`, when the
    /// process ends or when it takes too long to stop before another worker replaces it.
    ///
    /// # Errors
    /// Any reason why the unit failed. It is logged and shown, and the worker is called again after a pause, which
    /// grows while the failures go on.
    fn work(&mut self, progress: &Progress) -> impl Future<Output = Result<Next, Failure>> + Send;

    /// How long it waits after a poke, so that everything arriving in that time is done in the same unit of work.
    fn batch_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// The longest pause before failed work is tried again.
    fn longest_retry(&self) -> Duration {
        runner::LAST_RETRY
    }
}

/// When a worker has to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// After this time, or when it is poked.
    After(Duration),
}

/// Wakes a waiting worker when there is new work. The pause after a failure lasts for at least a second in any case. A
/// poke is never lost: if the worker is working, it runs once more.
#[derive(Debug, Clone, Default)]
pub struct Poke(Arc<Notify>);

impl Poke {
    /// Notifies the worker that there is work to do.
    pub fn poke(&self) {
        self.0.notify_one();
    }
}
