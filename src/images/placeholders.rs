use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::create_from_vm::mark_failed;
use super::{ApiResult, App, Code, CurrentApp};
use crate::jobs::Task;
use crate::manifest::{State, Uuid, View};
use crate::workers::{Failure, Next, Progress, Worker};

/// Between looks.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long a placeholder may be without a job that goes on: longer than it takes to start one.
const GRACE: Duration = Duration::from_secs(150);

/// Most placeholders that are looked at in one round.
const MOST: usize = 200;

/// States of jobs that are not over.
const GOES_ON: [&str; 3] = ["queued", "running", "waiting"];

/// Marks placeholders as failed that no job makes an image for any more: a job can end, or be lost, without a word to its image.
#[derive(Debug)]
pub struct Placeholders {
    current: CurrentApp,
    /// That of the unit of work at hand.
    app: Arc<App>,
    /// Those without a job, and when that was first seen.
    abandoned: HashMap<Uuid, Instant>,
    grace: Duration,
}

impl Placeholders {
    /// What operators call it.
    pub const NAME: &'static str = "placeholders";

    /// A watch over the placeholders of `app`.
    pub fn new(current: CurrentApp) -> Placeholders {
        Placeholders { app: current.get(), current, abandoned: HashMap::new(), grace: GRACE }
    }

    /// How many were marked.
    async fn look(&mut self) -> ApiResult<u64> {
        let creating = self.app.db.filtered(|image| image.state() == State::Creating).await?;
        self.abandoned.retain(|uuid, _| creating.iter().any(|image| image.uuid() == *uuid));
        // Without the Workflow API nobody can tell.
        if creating.is_empty() || self.app.check_jobs().is_err() {
            return Ok(0);
        }
        let mut marked = 0;
        for image in creating.iter().take(MOST) {
            marked += u64::from(self.judge(image).await?);
        }
        Ok(marked)
    }

    /// Whether it was marked.
    async fn judge(&mut self, image: &View) -> ApiResult<bool> {
        let uuid = image.uuid();
        let task = Task::CreateFromVm.as_str();
        let jobs = super::image_jobs(&self.app, uuid, Some(task), None, "").await?;
        if jobs.iter().any(goes_on) {
            self.abandoned.remove(&uuid);
            return Ok(false);
        }
        let first_seen = *self.abandoned.entry(uuid).or_insert_with(Instant::now);
        if first_seen.elapsed() < self.grace {
            return Ok(false);
        }
        self.abandoned.remove(&uuid);
        let message = reason(&jobs);
        let marked = mark_failed(&self.app, uuid, Code::InternalError.as_str(), &message).await?;
        if marked {
            tracing::warn!(image_uuid = %uuid, "marked a placeholder as failed: {message}");
        }
        Ok(marked)
    }
}

/// Whether a job may still make the image.
fn goes_on(job: &Value) -> bool {
    job.get("execution").and_then(Value::as_str).is_some_and(|execution| GOES_ON.contains(&execution))
}

/// Why there is no image, as far as the last job says.
fn reason(jobs: &[Value]) -> String {
    let execution = jobs.first().and_then(|job| job.get("execution")?.as_str());
    match execution {
        Some(execution) => {
            format!("the job that was to make the image is {execution}, and there is no image")
        }
        None => "there is no job that makes the image".to_owned(),
    }
}

impl Worker for Placeholders {
    fn name(&self) -> &'static str {
        Placeholders::NAME
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        self.app = self.current.get();
        progress.done(self.look().await?);
        Ok(Next::After(INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_from_vm::tests::{BASE, Cloud};
    use super::*;

    #[tokio::test]
    async fn a_placeholder_without_a_job_that_goes_on_is_marked() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        let state = async || cloud.app.db.get(image).await.unwrap().unwrap().image.state();
        let mut watch = Placeholders {
            grace: Duration::ZERO,
            ..Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)))
        };
        // One without an execution is no running job; every other one is asked for.
        for execution in ["queued", "running", "waiting"] {
            cloud.jobs_are(execution);
            assert_eq!((watch.look().await.unwrap(), state().await), (0, State::Creating), "{execution}");
        }
        cloud.jobs_are("canceled");
        let mut patient = Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)));
        assert_eq!((patient.look().await.unwrap(), state().await), (0, State::Creating));
        assert_eq!((watch.look().await.unwrap(), state().await), (1, State::Failed));
        let record = cloud.app.db.get(image).await.unwrap().unwrap().image;
        assert!(record.record()["error"]["message"].as_str().unwrap().contains("canceled"));
        // Others are nobody's business.
        assert_eq!(watch.look().await.unwrap(), 0);
        let base = cloud.app.db.get(BASE.parse().unwrap()).await.unwrap().unwrap().image;
        assert_eq!(base.state(), State::Active);
    }

    #[tokio::test]
    async fn nothing_is_marked_while_nobody_can_tell() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        cloud.jobs_are("failed");
        cloud.workflow_api_is_down().await;
        let mut watch = Placeholders {
            grace: Duration::ZERO,
            ..Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)))
        };
        assert_eq!(watch.look().await.unwrap(), 0);
        assert_eq!(cloud.app.db.get(image).await.unwrap().unwrap().image.state(), State::Creating);
    }
}
