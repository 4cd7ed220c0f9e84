// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use serde_json::{Map, json};

use super::image_jobs::jobs_failed;
use super::placeholders::abandoned::delete_if_abandoned;
use crate::images::files::fetch::source_failed;
use crate::images::record::origin::{MAX_CHAIN, not_active};
use crate::images::{ApiError, ApiResult, App, Code, StartedJob, refuse_existing};
use crate::import::{Imgapi, InvalidSource, Source};
use crate::jobs::{NewJob, Task};
use crate::manifest::create::requested_origin;
use crate::manifest::{Record, State, Uuid};

/// AdminImportRemoteImage: starts a job that imports an image, and the origins that are missing here, from another IMGAPI.
pub async fn import_remote(
    app: &Arc<App>,
    uuid: Uuid,
    source: &str,
    skip_owner_check: bool,
    request_id: &str,
) -> ApiResult<StartedJob> {
    delete_if_abandoned(app, uuid, request_id).await?;
    refuse_existing(app, uuid).await?;
    app.check_jobs()?;
    let source = source.parse().map_err(|error: InvalidSource| unusable(&error.to_string()))?;
    let caller = ImportCaller { account: None, skip_owner_check };
    start_import(app, uuid, &source, caller, request_id).await
}

/// On whose behalf an image is imported.
#[derive(Debug, Clone, Copy)]
pub(in crate::images) struct ImportCaller {
    /// The account that asks for the import; `None` for an operator.
    pub(in crate::images) account: Option<Uuid>,
    /// Accepts the owner without asking the directory of accounts.
    pub(in crate::images) skip_owner_check: bool,
}

/// Starts the import of an image that is known to be missing here.
pub(in crate::images) async fn start_import(
    app: &Arc<App>,
    uuid: Uuid,
    source: &Source,
    caller: ImportCaller,
    request_id: &str,
) -> ApiResult<StartedJob> {
    app.check_jobs()?;
    let imgapi = app.fetcher.imgapi(source, request_id);
    let manifest = imgapi.get_image(uuid).await.map_err(source_failed)?;
    let origins = missing_origins(app, &imgapi, uuid, &manifest, caller.account, request_id).await?;
    let mut params = Map::from_iter([
        ("image_uuid".to_owned(), json!(uuid)),
        ("source".to_owned(), json!(source.to_string())),
        ("skip_owner_check".to_owned(), json!(caller.skip_owner_check)),
        ("req_id".to_owned(), json!(request_id)),
    ]);
    if !origins.is_empty() {
        params.insert("origins".to_owned(), json!(origins));
    }
    if let Some(allowed) = app.config.outgoing.allow_insecure {
        params.insert("allowInsecure".to_owned(), json!(allowed));
    }
    let job = NewJob {
        uuid: Uuid::new_v4(),
        task: Task::ImportRemoteImage,
        target: format!("/import-remote-{uuid}"),
        params,
    };
    app.start_job(uuid, &job, request_id).await.map_err(jobs_failed)
}

/// The origins of an image that are missing here, the base first. The search ends at the first origin that is here: it could
/// not have been imported without its own origins.
async fn missing_origins(
    app: &Arc<App>,
    imgapi: &Imgapi<'_>,
    uuid: Uuid,
    manifest: &Record,
    account: Option<Uuid>,
    request_id: &str,
) -> ApiResult<Vec<Uuid>> {
    let mut missing = Vec::new();
    let mut next = origin_of(manifest)?;
    while let Some(origin) = next {
        if origin == uuid || missing.contains(&origin) {
            return Err(unusable("the image is an origin of itself"));
        }
        delete_if_abandoned(app, origin, request_id).await?;
        if let Some(stored) = app.db.get(origin).await? {
            if account.is_some_and(|account| !stored.image.is_visible_to(account)) {
                return Err(not_here(origin));
            }
            if stored.image.state() != State::Active {
                return Err(not_active(origin));
            }
            break;
        }
        if missing.len() == MAX_CHAIN {
            return Err(unusable(&format!("the image has more than {MAX_CHAIN} origins")));
        }
        let manifest = imgapi.get_image(origin).await.map_err(source_failed)?;
        if !is_active(&manifest) {
            return Err(not_active(origin));
        }
        missing.push(origin);
        next = origin_of(&manifest)?;
    }
    missing.reverse();
    Ok(missing)
}

/// 404 for another owner's origin that is not here, or that the account may not see.
pub(in crate::images) fn not_here(origin: Uuid) -> ApiError {
    let message = format!("origin image {origin} is of another owner and does not exist in this datacenter");
    ApiError::new(Code::ResourceNotFound, message)
}

/// Returns whether a manifest of another server describes an active image.
pub(in crate::images) fn is_active(manifest: &Record) -> bool {
    manifest.get("state").is_some_and(|state| state == State::Active.as_str())
}

/// The origin that a manifest of another server names.
pub(in crate::images) fn origin_of(manifest: &Record) -> ApiResult<Option<Uuid>> {
    requested_origin(manifest).map_err(|error| unusable(&error.to_string()))
}

/// The error for an image that cannot be imported because of what the source says.
pub(in crate::images) fn unusable(reason: &str) -> ApiError {
    ApiError::new(Code::RemoteSourceError, format!("cannot import from the source: {reason}"))
}
