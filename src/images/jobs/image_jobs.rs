// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Starts and lists the jobs of images.

use serde::Serialize;
use serde_json::Value;

use crate::images::{ApiError, ApiResult, App, Code};
use crate::jobs::{JobsError, NewJob};
use crate::manifest::{FieldCode, Uuid};

/// A job that was started.
#[derive(Debug, Serialize)]
pub struct StartedJob {
    /// The image that the job makes.
    pub image_uuid: Uuid,
    /// The job's UUID in the Workflow API.
    pub job_uuid: Uuid,
}

/// GetImageJobs: the jobs of an image, as the Workflow API returns them; only those of `task` and in `execution`, where given.
pub async fn image_jobs(
    app: &App,
    image: Uuid,
    task: Option<&str>,
    execution: Option<&str>,
    request_id: &str,
) -> ApiResult<Vec<Value>> {
    app.jobs.check().map_err(jobs_failed)?;
    for (name, value) in [("task", task), ("execution", execution)] {
        // The Workflow API puts the values into a search filter without escaping them.
        let is_plain = |value: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            value.len() <= 100 && value.bytes().all(plain)
        };
        if value.is_some_and(|value| !is_plain(value)) {
            return Err(ApiError::invalid_parameter(name, FieldCode::Invalid, "must be a plain word"));
        }
    }
    app.jobs.list(image, task, execution, request_id).await.map_err(jobs_failed)
}

impl App {
    /// Fails with 503 unless jobs can be started.
    pub(in crate::images) fn check_jobs(&self) -> ApiResult<()> {
        self.jobs.check().map_err(jobs_failed)
    }

    /// Starts a job for an image.
    pub(in crate::images) async fn start_job(
        &self,
        image: Uuid,
        job: &NewJob,
        request_id: &str,
    ) -> Result<StartedJob, JobsError> {
        let job_uuid = job.uuid;
        self.jobs.start(job, request_id).await?;
        tracing::info!(req_id = request_id, image_uuid = %image, job_uuid = %job_uuid, "started a job: {}", job.target);
        Ok(StartedJob { image_uuid: image, job_uuid })
    }
}

/// Relays an error that the Workflow API reports. Every other failure becomes a 503.
pub(in crate::images) fn jobs_failed(error: JobsError) -> ApiError {
    let unavailable = |message: &str| ApiError::new(Code::ServiceUnavailableError, message);
    match &error {
        JobsError::Absent => return unavailable("this server has no workflow API"),
        JobsError::Down(_) => unavailable("Workflow API is down."),
        JobsError::OutcomeUnknown(_) => unavailable("the workflow API does not answer"),
        JobsError::Unusable(_) => unavailable("the workflow API does not answer as it should"),
        JobsError::Refused { status, code, message } => ApiError::relayed(*status, code, message),
    }
    .because(error)
}
