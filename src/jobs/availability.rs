// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;
use std::time::Duration;

use super::JobsInner;
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(10);

/// Checks every ten seconds whether the Workflow API can be used, and stores the workflows in it when it becomes usable.
#[derive(Debug)]
pub struct AvailabilityWatch {
    shared: Arc<JobsInner>,
    /// Whether each workflow has been replaced, if the configuration asks for that.
    replaced: bool,
}

impl AvailabilityWatch {
    /// The worker's name for operators.
    pub const NAME: &'static str = "workflow-api";

    pub(super) fn new(shared: Arc<JobsInner>) -> AvailabilityWatch {
        let replaced = !shared.force_replace;
        AvailabilityWatch { shared, replaced }
    }

    pub(crate) async fn check(&mut self) -> Result<(), super::JobsError> {
        let shared = &self.shared;
        shared.api.ping().await?;
        if shared.down().is_some() {
            for task in &shared.tasks {
                shared.load(*task, !self.replaced).await?;
            }
            self.replaced = true;
        }
        Ok(())
    }
}

impl AvailabilityWatch {
    /// Checks whether jobs can be started, and records the result.
    pub(super) async fn check_and_record(&mut self) -> Result<(), super::JobsError> {
        let checked = self.check().await;
        if self.shared.set_down(checked.as_ref().err().map(ToString::to_string)) {
            tracing::info!(connected = checked.is_ok(), "the workflow API has come or gone");
        }
        checked
    }
}

impl Worker for AvailabilityWatch {
    fn name(&self) -> &'static str {
        AvailabilityWatch::NAME
    }

    fn longest_retry(&self) -> Duration {
        INTERVAL
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        let checked = self.check_and_record().await;
        progress.done(1);
        progress.detail(if checked.is_err() { "not connected" } else { "connected" });
        checked?;
        Ok(Next::After(INTERVAL))
    }
}
