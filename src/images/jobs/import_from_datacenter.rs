// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::import_remote::{ImportCaller, is_active, not_here, origin_of, start_import, unusable};
use super::placeholders::abandoned::delete_if_abandoned;
use crate::config::RemoteDatacenter;
use crate::images::files::fetch::source_failed;
use crate::images::record::origin::MAX_CHAIN;
use crate::images::{ApiError, ApiResult, App, Code, StartedJob, refuse_existing};
use crate::import::{FetchError, Imgapi, Source};
use crate::manifest::import::requested_owner;
use crate::manifest::{FieldError, Record, Uuid};

/// ImportImageFromDatacenter: starts a job that copies an account's image from another datacenter, with the origins that belong
/// to the account.
pub async fn import_from_datacenter(
    app: &Arc<App>,
    uuid: Uuid,
    account: Uuid,
    datacenter: &RemoteDatacenter,
    request_id: &str,
) -> ApiResult<StartedJob> {
    let source: Source = datacenter.url.parse().map_err(|error| unusable(&format!("{error}")))?;
    let imgapi = app.fetcher.imgapi(&source, request_id).on_behalf_of(account);
    // This comes before any look at local images: an account must not learn about images of others.
    let manifest = imgapi.get_image(uuid).await.map_err(relayed)?;
    if !is_active(&manifest) {
        let problem = FieldError::invalid("state").because("the image is not active");
        return Err(ApiError::validation(vec![problem]));
    }
    if !is_of(&manifest, account) {
        let message = format!("image {uuid} is not owned by {account}");
        return Err(ApiError::new(Code::UnauthorizedError, message));
    }
    app.check_owner(account).await?;
    delete_if_abandoned(app, uuid, request_id).await?;
    refuse_existing(app, uuid).await?;
    check_origins(app, &imgapi, account, uuid, &manifest).await?;
    let caller = ImportCaller { account: Some(account), skip_owner_check: false };
    start_import(app, uuid, &source, caller, request_id).await
}

/// Checks the origins of other owners, which are not copied between datacenters: the nearest one has to be here already.
async fn check_origins(
    app: &App,
    imgapi: &Imgapi<'_>,
    account: Uuid,
    uuid: Uuid,
    manifest: &Record,
) -> ApiResult<()> {
    let mut seen = vec![uuid];
    let mut next = origin_of(manifest)?;
    while let Some(origin) = next {
        if seen.contains(&origin) {
            return Err(unusable("the image is an origin of itself"));
        }
        if seen.len() > MAX_CHAIN {
            let message = format!("the image has more than {MAX_CHAIN} origins");
            return Err(ApiError::new(Code::InternalError, message));
        }
        let manifest = imgapi.get_image(origin).await.map_err(relayed)?;
        if !is_of(&manifest, account) {
            let here = app.db.get(origin).await?;
            let is_seen = here.is_some_and(|here| here.image.is_visible_to(account));
            return if is_seen { Ok(()) } else { Err(not_here(origin)) };
        }
        seen.push(origin);
        next = origin_of(&manifest)?;
    }
    Ok(())
}

fn is_of(manifest: &Record, account: Uuid) -> bool {
    requested_owner(manifest) == Ok(account)
}

/// Passes on errors of the other IMGAPI, which are meant for the account.
fn relayed(error: FetchError) -> ApiError {
    match &error {
        FetchError::Remote { status, code, message, .. } => {
            ApiError::relayed(*status, code, message).because(error)
        }
        _ => source_failed(error),
    }
}
