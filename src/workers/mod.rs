// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Work that goes on in the background, one unit after the other, and what operators see of it.
//!
//! What there is to do is told by the rooms that do it: each kind of work is a [`Worker`]. [`Workers`] runs them.

mod runner;
mod status;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub use runner::{Prepared, Workers};
pub use status::{LastError, Progress, State, Status};

/// Why a unit of work was not done.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One kind of work in the background.
pub trait Worker: Send + 'static {
    /// What operators call it: lower-case words with hyphens, of which there is a small number.
    fn name(&self) -> &'static str;

    /// Does one unit of work, and says when there is the next one. It may be interrupted at every `await`, when the process
    /// is to end, or when it takes too long to end and another one is to take its place.
    ///
    /// # Errors
    /// Whatever kept it from being done. It is logged and shown, and the worker is called again soon, less and less soon
    /// while that goes on.
    fn work(&mut self, progress: &Progress) -> impl Future<Output = Result<Next, Failure>> + Send;

    /// How long it waits after a poke, so that what comes meanwhile is done in the same unit of work.
    fn gathers(&self) -> Duration {
        Duration::ZERO
    }

    /// The longest wait before what has failed is tried again.
    fn longest_retry(&self) -> Duration {
        runner::LAST_RETRY
    }
}

/// When a worker has something to do again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// After this time, or when it is poked.
    After(Duration),
}

/// Ends the wait of a worker, from wherever something to do turns up; that after a failure when it has lasted for a
/// second. Never lost: one that is at work looks again.
#[derive(Debug, Clone, Default)]
pub struct Poke(Arc<Notify>);

impl Poke {
    /// Tells the worker that there is something to do.
    pub fn poke(&self) {
        self.0.notify_one();
    }
}
