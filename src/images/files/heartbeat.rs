// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Shows the other servers of the datacenter that an upload is still running.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::images::record::change::annotate;
use crate::images::{ApiError, ApiResult, App, run_to_completion};
use crate::manifest::{Image, State, Uuid, View};
use crate::telemetry::err;

/// Time between two signs. The watch over placeholders waits for more than two.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs a part of an upload. Meanwhile it writes the record of an image that a job makes once a minute, unchanged but for the
/// `write_fence`. So the watch over placeholders, in this process or another, sees that the image is being uploaded.
pub(in crate::images) async fn with_heartbeat<T>(
    app: &Arc<App>,
    uuid: Uuid,
    part: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    tokio::select! {
        done = part => done,
        never = send_heartbeats(app, uuid) => match never {},
    }
}

async fn send_heartbeats(app: &Arc<App>, uuid: Uuid) -> Infallible {
    loop {
        if let Err(error) = send_heartbeat(app, uuid).await {
            tracing::debug!(%uuid, err.json = %err(&error), "an upload could give no sign of life");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn send_heartbeat(app: &Arc<App>, uuid: Uuid) -> ApiResult<()> {
    let is_watched = app.db.view(uuid).await?.value.is_some_and(|image| is_unfinished(&image));
    if !is_watched {
        return Ok(());
    }
    let app = Arc::clone(app);
    let fenced = |image: &Image| image.fenced().map(Some).map_err(ApiError::validation);
    run_to_completion(async move { annotate(&app, uuid, fenced).await }).await
}

/// Returns whether the image is a placeholder, or an image that a job has begun and not activated.
pub(in crate::images) fn is_unfinished(image: &View) -> bool {
    image.state() == State::Creating || image.state() == State::Unactivated && image.is_of_job()
}
