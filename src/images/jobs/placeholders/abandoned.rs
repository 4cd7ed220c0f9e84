// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Deletes images that an import job has begun and nobody finishes.

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;

use crate::images::jobs::image_jobs::jobs_failed;
use crate::images::lifecycle::delete::delete_if;
use crate::images::{ApiError, ApiResult, App, Code, Precondition, image_jobs};
use crate::jobs::{JobProgress, Task};
use crate::manifest::{Image, State, Uuid};

/// The jobs that were to make an image: the job that its record names, or the jobs that the Workflow API finds for it.
pub(in crate::images) async fn jobs_of(app: &App, image: &Image, request_id: &str) -> ApiResult<Vec<Value>> {
    match image.job() {
        Some(job) => {
            let found = app.jobs.find(job, request_id).await.map_err(jobs_failed)?;
            Ok(found.into_iter().collect())
        }
        None => image_jobs(app, image.uuid(), Some(Task::CreateFromVm.as_str()), None, request_id).await,
    }
}

/// Deletes an image that an import has begun and whose job is over, so that a new import need not wait for the watch over
/// placeholders. Other images stay, and so does this one if the Workflow API does not answer.
pub(in crate::images) async fn delete_if_abandoned(
    app: &Arc<App>,
    uuid: Uuid,
    request_id: &str,
) -> ApiResult<()> {
    let Some(stored) = app.db.get(uuid).await? else { return Ok(()) };
    let Some(job) = stored.image.job().filter(|_| stored.image.state() == State::Unactivated) else {
        return Ok(());
    };
    let Ok(found) = app.jobs.find(job, request_id).await else { return Ok(()) };
    let is_over = found.is_none_or(|found| {
        let is_import = found.get("task").is_some_and(|task| task == Task::ImportRemoteImage.as_str());
        is_import && JobProgress::of(&found, OffsetDateTime::now_utc()) == JobProgress::Ended
    });
    if is_over {
        let deleted = delete_abandoned(app, uuid, job).await?;
        tracing::info!(req_id = request_id, image_uuid = %uuid, job_uuid = %job, deleted, "an import that was not finished makes way");
    }
    Ok(())
}

/// Deletes an image that `job` has begun. Returns false if it is no such image any more.
pub(in crate::images) async fn delete_abandoned(app: &Arc<App>, uuid: Uuid, job: Uuid) -> ApiResult<bool> {
    let still = Precondition::new(move |image| {
        let is_begun = image.state() == State::Unactivated && image.job() == Some(job);
        let message = "it is nothing that a job has begun";
        if is_begun { Ok(()) } else { Err(ApiError::new(Code::PreconditionFailed, message)) }
    });
    match delete_if(app, uuid, still).await {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.code(), Code::PreconditionFailed | Code::ResourceNotFound) => Ok(false),
        // An image that depends on this one may be completed all the same. The watch over placeholders tries again.
        Err(error) if error.code() == Code::ImageHasDependentImages => Ok(false),
        Err(error) => Err(error),
    }
}
