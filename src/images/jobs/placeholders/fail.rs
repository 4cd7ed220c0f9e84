// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
use time::OffsetDateTime;

use crate::images::record::change::change;
use crate::images::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{Image, State, Uuid, times};

/// When a placeholder that is made now expires.
pub(in crate::images::jobs) fn expiry(app: &App) -> String {
    times::iso_millis(OffsetDateTime::now_utc() + app.config.jobs.placeholder_lifespan)
}

/// Marks a placeholder, or an image that `job` has begun, as failed, with the reason. Returns false if it is neither any more.
pub(in crate::images::jobs) async fn mark_failed(
    app: &App,
    uuid: Uuid,
    job: Option<Uuid>,
    code: &str,
    message: &str,
) -> ApiResult<bool> {
    let access = Access { uuid, channel: None, account: None };
    let expires_at = expiry(app);
    let failed = |image: &Image| image.failed(code, message, &expires_at).map_err(ApiError::validation);
    let marked = change(app, access, |image| match image.state() {
        State::Creating => failed(image),
        State::Unactivated if job.is_some() && image.job() == job => failed(image),
        _ => Err(ApiError::image_not_found(uuid)),
    });
    match marked.await.map_err(ApiError::from) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Code::ResourceNotFound => Ok(false),
        Err(error) => Err(error),
    }
}
