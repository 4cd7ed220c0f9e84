// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Config;

/// The longest wait for the disk, because Ping must not depend on it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether an operator has drained this server: a file says so, and Ping reports it to balancers.
#[derive(Debug)]
pub(super) struct Drain(Arc<DrainInner>);

#[derive(Debug)]
struct DrainInner {
    file: PathBuf,
    known: AtomicBool,
    looking: Arc<Semaphore>,
}

impl Drain {
    pub(super) fn new(config: &Config) -> Drain {
        let (file, looking) = (config.drain_file(), Arc::new(Semaphore::new(1)));
        Drain(Arc::new(DrainInner { file, known: AtomicBool::new(false), looking }))
    }

    /// Returns whether the file exists now. If the disk does not respond, the earlier answer stays, and only one thread waits.
    pub(super) async fn is_on(&self) -> bool {
        if let Ok(looking) = Arc::clone(&self.0.looking).try_acquire_owned() {
            let shared = Arc::clone(&self.0);
            let look = tokio::task::spawn_blocking(move || {
                if let Ok(is_there) = shared.file.try_exists()
                    && shared.known.swap(is_there, Ordering::Relaxed) != is_there
                {
                    let file = shared.file.display();
                    tracing::info!(draining = is_there, %file, "the drain file has come or gone");
                }
                drop(looking);
            });
            // A check that takes too long provides the answer to a later call.
            let _ = timeout(PATIENCE, look).await;
        }
        self.0.known.load(Ordering::Relaxed)
    }
}
