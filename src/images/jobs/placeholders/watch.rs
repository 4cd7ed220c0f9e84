// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::abandoned::{delete_abandoned, jobs_of};
use super::fail::mark_failed;
use crate::images::files::heartbeat::is_unfinished;
use crate::images::{ApiResult, App, Code, CurrentApp};
use crate::jobs::{JobProgress, Task};
use crate::manifest::{State, Uuid};
use crate::workers::{Failure, Next, Progress, Worker};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long an image may be without a running job: longer than it takes to start one.
const GRACE: Duration = Duration::from_secs(150);

/// How long a job may go on of which only is known that it was cancelled: the longest workflow and its `onerror` chain.
const LONGEST: Duration = Duration::from_secs(2 * 7250);

/// Most images that are examined in one look.
const MOST: usize = 200;

/// Watches the images that a job was to make. A job can end or be lost without a word to its image. Then a placeholder is
/// marked as failed, and so is an image that a compute node has begun to publish. An image that an import has begun is deleted.
#[derive(Debug)]
pub struct Placeholders {
    current: CurrentApp,
    /// The app that the current unit of work uses.
    app: Arc<App>,
    /// The images that seem to have no running job.
    abandoned: HashMap<Uuid, Observation>,
    grace: Duration,
}

/// An image that seems to have no running job.
#[derive(Debug)]
struct Observation {
    /// When this was first observed.
    since: Instant,
    /// The version of its record. A later one shows that somebody works on it, such as another server that receives its file.
    etag: String,
}

impl Placeholders {
    /// The worker's name, as operators see it.
    pub const NAME: &'static str = "placeholders";

    /// A watch over the images that jobs make.
    pub fn new(current: CurrentApp) -> Placeholders {
        Placeholders { app: current.get(), current, abandoned: HashMap::new(), grace: GRACE }
    }

    /// Looks at all unfinished images, and returns how many were settled.
    async fn check_all(&mut self) -> ApiResult<u64> {
        let unfinished = self.app.db.filtered(is_unfinished).await?;
        self.abandoned.retain(|uuid, _| unfinished.iter().any(|image| image.uuid() == *uuid));
        // Only the Workflow API knows whether jobs go on.
        if unfinished.is_empty() || self.app.check_jobs().is_err() {
            return Ok(0);
        }
        let mut settled = 0;
        for image in unfinished.iter().take(MOST) {
            settled += u64::from(self.check(image.uuid()).await?);
        }
        Ok(settled)
    }

    /// Looks at one image, and returns whether it was settled.
    async fn check(&mut self, uuid: Uuid) -> ApiResult<bool> {
        if self.app.uploads.is_running(uuid) {
            // Its file is being uploaded, perhaps by an operator.
            self.abandoned.remove(&uuid);
            return Ok(false);
        }
        let Some(stored) = self.app.db.get(uuid).await? else { return Ok(false) };
        let jobs = jobs_of(&self.app, &stored.image, "").await?;
        let now = OffsetDateTime::now_utc();
        let grace = match jobs.iter().map(|job| JobProgress::of(job, now)).max() {
            Some(JobProgress::Running) => {
                self.abandoned.remove(&uuid);
                return Ok(false);
            }
            Some(JobProgress::MayContinue) => LONGEST + self.grace,
            Some(JobProgress::Ended) | None => self.grace,
        };
        let observation = self.abandoned.remove(&uuid).filter(|observation| observation.etag == stored.etag);
        let observation =
            observation.unwrap_or_else(|| Observation { since: Instant::now(), etag: stored.etag });
        if observation.since.elapsed() < grace {
            self.abandoned.insert(uuid, observation);
            return Ok(false);
        }
        let message = reason(&jobs);
        let is_of_vm = stored.image.state() == State::Creating || jobs.iter().any(is_of_vm);
        let settled = match stored.image.job() {
            Some(job) if !is_of_vm => delete_abandoned(&self.app, uuid, job).await?,
            job => mark_failed(&self.app, uuid, job, Code::InternalError.as_str(), &message).await?,
        };
        if settled {
            tracing::warn!(image_uuid = %uuid, "settled an image that was not made: {message}");
        }
        Ok(settled)
    }
}

/// Returns whether the job makes an image of a VM.
fn is_of_vm(job: &Value) -> bool {
    job.get("task").is_some_and(|task| task == Task::CreateFromVm.as_str())
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
        progress.done(self.check_all().await?);
        Ok(Next::After(INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::images::files::heartbeat::with_heartbeat;
    use crate::images::jobs::create_from_vm::tests::{BASE, Cloud};
    use crate::images::{ImportOptions, import};

    fn watch_without_grace(cloud: &Cloud) -> Placeholders {
        let watch = Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)));
        Placeholders { grace: Duration::ZERO, ..watch }
    }

    #[tokio::test]
    async fn a_placeholder_without_a_job_that_goes_on_is_marked() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        let state = async || cloud.app.db.get(image).await.unwrap().unwrap().image.state();
        let mut watch = watch_without_grace(&cloud);
        // A job without an execution does not run. Every other execution is tried.
        for execution in ["queued", "running", "waiting"] {
            cloud.jobs_are(execution);
            assert_eq!(
                (watch.check_all().await.unwrap(), state().await),
                (0, State::Creating),
                "{execution}"
            );
        }
        cloud.jobs_are("canceled");
        let mut patient = Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)));
        assert_eq!((patient.check_all().await.unwrap(), state().await), (0, State::Creating));
        assert_eq!((watch.check_all().await.unwrap(), state().await), (1, State::Failed));
        let record = cloud.app.db.get(image).await.unwrap().unwrap().image;
        assert!(record.record()["error"]["message"].as_str().unwrap().contains("canceled"));
        // Images that no job makes are left alone.
        assert_eq!(watch.check_all().await.unwrap(), 0);
        let base = cloud.app.db.get(BASE.parse().unwrap()).await.unwrap().unwrap().image;
        assert_eq!(base.state(), State::Active);
    }

    #[tokio::test]
    async fn a_cancelled_job_may_still_make_the_image() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        let state = async || cloud.app.db.get(image).await.unwrap().unwrap().image.state();
        let mut watch = watch_without_grace(&cloud);
        let begun = json!([{"started_at": crate::images::now(), "result": "OK", "error": ""}]);
        cloud.jobs_are("canceled");
        // A runner works on the job; or the runner has died, and the compute node goes on.
        for changes in
            [json!({"runner_id": "r", "chain_results": []}), json!({"runner_id": "", "chain_results": begun})]
        {
            cloud.jobs_have(changes);
            assert_eq!((watch.check_all().await.unwrap(), state().await), (0, State::Creating));
        }
        cloud.jobs_have(json!({"chain_results": [{"started_at": "2020-01-01T00:00:00.000Z"}]}));
        assert_eq!((watch.check_all().await.unwrap(), state().await), (1, State::Failed));
    }

    #[tokio::test]
    async fn what_a_job_has_begun_is_settled_when_the_job_is_over() {
        let cloud = Cloud::start().await;
        let job = cloud.create().await.unwrap();
        let manifest = |uuid: Uuid| {
            let Value::Object(manifest) = json!({
                "v": 2, "uuid": uuid, "owner": "91ba0e64-2547-11e2-a972-df579e5fddb3", "name": "mine", "version": "1",
                "type": "zone-dataset", "os": "smartos",
            }) else {
                unreachable!()
            };
            manifest
        };
        let import = async |uuid: Uuid, job: Option<Uuid>| {
            let options = ImportOptions {
                skip_owner_check: true,
                fetched: job.is_some(),
                job,
                ..ImportOptions::default()
            };
            import(&cloud.app, uuid, manifest(uuid), options).await.unwrap()
        };
        let [fetched, by_hand] = [(); 2].map(|()| Uuid::new_v4());
        // Images of the compute node, of an import and of an operator.
        assert_eq!(import(job.image_uuid, None).await.job(), Some(job.job_uuid));
        let other = cloud.has_job("import-remote-image").await;
        import(fetched, Some(other)).await;
        import(by_hand, None).await;
        let state = async |uuid| cloud.app.db.get(uuid).await.unwrap().map(|stored| stored.image.state());
        let mut watch = watch_without_grace(&cloud);
        cloud.jobs_are("running");
        assert_eq!(watch.check_all().await.unwrap(), 0);
        cloud.jobs_are("failed");
        let upload = cloud.app.uploads.unless_deleted(fetched, std::future::pending::<ApiResult<()>>());
        let mut upload = Box::pin(upload);
        assert!(futures_util::poll!(&mut upload).is_pending());
        assert_eq!(watch.check_all().await.unwrap(), 1);
        drop(upload);
        assert_eq!(watch.check_all().await.unwrap(), 1);
        assert_eq!(state(job.image_uuid).await, Some(State::Failed));
        assert_eq!((state(fetched).await, state(by_hand).await), (None, Some(State::Unactivated)));
        let failed = cloud.app.db.get(job.image_uuid).await.unwrap().unwrap().image;
        assert!(failed.expires_at().unwrap() > &*crate::images::now());
    }

    #[tokio::test]
    async fn nothing_is_marked_while_nobody_can_tell() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        cloud.jobs_are("failed");
        cloud.workflow_api_is_down().await;
        let mut watch = watch_without_grace(&cloud);
        assert_eq!(watch.check_all().await.unwrap(), 0);
        assert_eq!(cloud.app.db.get(image).await.unwrap().unwrap().image.state(), State::Creating);
    }

    #[tokio::test]
    async fn an_upload_to_another_server_protects_its_placeholder() {
        let cloud = Cloud::start().await;
        let image = cloud.create().await.unwrap().image_uuid;
        let etag = async || cloud.app.db.get(image).await.unwrap().unwrap().etag;
        let mut watch = Placeholders::new(CurrentApp::new(Arc::clone(&cloud.app)));
        cloud.jobs_are("failed");
        assert_eq!(watch.check_all().await.unwrap(), 0);
        let long_ago = |watch: &mut Placeholders| {
            watch.abandoned.get_mut(&image).unwrap().since = Instant::now().checked_sub(GRACE).unwrap();
        };
        long_ago(&mut watch);
        let before = etag().await;
        // Another process sees only these signs of an upload.
        let pending = std::future::pending::<ApiResult<()>>();
        let upload = with_heartbeat(&cloud.app, image, pending);
        let observation = async {
            while etag().await == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = upload => unreachable!("it never ends"),
            () = observation => {}
        }
        assert_eq!(watch.check_all().await.unwrap(), 0);
        // The signs have stopped.
        long_ago(&mut watch);
        assert_eq!(watch.check_all().await.unwrap(), 1);
        // The records of other images are not written.
        let base = BASE.parse().unwrap();
        let before = cloud.app.db.get(base).await.unwrap().unwrap().etag;
        let part = async {
            tokio::task::yield_now().await;
            Ok(())
        };
        with_heartbeat(&cloud.app, base, part).await.unwrap();
        assert_eq!(cloud.app.db.get(base).await.unwrap().unwrap().etag, before);
    }
}
