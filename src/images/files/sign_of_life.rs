// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An upload tells the other servers of its datacenter that it goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::images::record::change::annotate;
use crate::images::{ApiError, ApiResult, App, to_the_end};
use crate::manifest::{Image, State, Uuid, View};
use crate::telemetry::err;

/// Between two signs. The watch over placeholders waits for more than two.
const INTERVAL: Duration = Duration::from_secs(60);

/// Does a part of an upload. While it goes on, the record of an image that a job makes is written now and then, unchanged
/// but for the `write_fence`: so the watch over such images sees that somebody is at it, in whichever process either is.
pub(in crate::images) async fn with_signs_of_life<T>(
    app: &Arc<App>,
    uuid: Uuid,
    part: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    tokio::select! {
        done = part => done,
        never = give_signs(app, uuid) => match never {},
    }
}

async fn give_signs(app: &Arc<App>, uuid: Uuid) -> Infallible {
    loop {
        if let Err(error) = give_sign(app, uuid).await {
            tracing::debug!(%uuid, err.json = %err(&error), "an upload could give no sign of life");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn give_sign(app: &Arc<App>, uuid: Uuid) -> ApiResult<()> {
    let is_watched = app.db.view(uuid).await?.value.is_some_and(|image| is_unfinished(&image));
    if !is_watched {
        return Ok(());
    }
    let app = Arc::clone(app);
    let fenced = |image: &Image| image.fenced().map(Some).map_err(ApiError::validation);
    to_the_end(async move { annotate(&app, uuid, fenced).await }).await
}

/// Placeholders, and what jobs have begun.
pub(in crate::images) fn is_unfinished(image: &View) -> bool {
    image.state() == State::Creating || image.state() == State::Unactivated && image.is_of_job()
}
