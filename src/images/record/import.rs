// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::acl::refuse_long_acl;
use super::origin::{NamedBy, find_origin, store};
use crate::config::ChannelId;
use crate::db::{DbError, Stored};
use crate::images::{ApiError, ApiResult, App, run_to_completion};
use crate::manifest::create::{CreateContext, given};
use crate::manifest::import as manifest;
use crate::manifest::upgrade::upgrade;
use crate::manifest::{Image, Mode, Record, State, Uuid};

/// How a manifest is imported.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// The channel that the image is imported into.
    pub channel: Option<ChannelId>,
    /// Accepts the owner without asking the directory of accounts.
    pub skip_owner_check: bool,
    /// This server has fetched the manifest from another IMGAPI. Then origins are imported one by one, so that the image's
    /// origin need not be here yet. No placeholder is replaced.
    pub fetched: bool,
    /// The job that imports the image, if the caller is a job that names itself.
    pub job: Option<Uuid>,
    /// An old `imgadm` has made the manifest, which writes its own platform as `min_platform`.
    pub by_old_imgadm: bool,
}

/// AdminImportImage: stores a new unactivated image from a complete manifest, with the UUID in it.
pub async fn import(
    app: &Arc<App>,
    uuid: Uuid,
    manifest: Record,
    options: ImportOptions,
) -> ApiResult<Image> {
    let mut manifest = upgrade(given(manifest));
    let app = Arc::clone(app);
    run_to_completion(async move {
        let placeholder = placeholder(&app, uuid, options).await?;
        let (named_by, origin) = match options.fetched {
            true => (NamedBy::Import, None),
            false => (NamedBy::Operator, find_origin(&app, &manifest, NamedBy::Operator).await?),
        };
        let owner = owner(&app, &manifest, options).await?;
        if options.by_old_imgadm {
            correct_platform(&mut manifest, origin.as_ref().map(|origin| &origin.image));
        }
        let context =
            CreateContext { uuid, owner, rules: app.rules(), channel: app.channel_name(options.channel) };
        let (placeholder, job) =
            placeholder.map_or((None, options.job), |found| (Some(found.etag), found.image.job()));
        let image = manifest::import(manifest, &context)?.of_job(job).map_err(ApiError::validation)?;
        refuse_long_acl(&app, None, &image)?;
        let stored = store(&app, &image, placeholder.as_deref(), origin, named_by).await?;
        stored.map_err(|error| match error {
            // Another request imported the image meanwhile, or the existing record is invalid.
            DbError::Conflict => ApiError::image_exists(uuid),
            error => error.into(),
        })?;
        Ok(image)
    })
    .await
}

/// Fails with 409 if an image in any state has the UUID.
pub(in crate::images) async fn refuse_existing(app: &App, uuid: Uuid) -> ApiResult<()> {
    match app.db.get(uuid).await? {
        Some(_) => Err(ApiError::image_exists(uuid)),
        None => Ok(()),
    }
}

/// Returns the placeholder that the import replaces, if there is one: a compute node imports the image that it made from a VM.
/// Any other image with the UUID is a conflict.
async fn placeholder(app: &App, uuid: Uuid, options: ImportOptions) -> ApiResult<Option<Stored>> {
    match app.db.get(uuid).await? {
        None => Ok(None),
        Some(stored) if stored.image.state() == State::Creating && !options.fetched => Ok(Some(stored)),
        Some(_) => Err(ApiError::image_exists(uuid)),
    }
}

/// The owner of the new record. Outside a datacenter it is always the nil UUID. A datacenter replaces the nil UUID by its
/// administrator. Returns `None` for a malformed owner that is not checked here; validation rejects it.
async fn owner(app: &App, manifest: &Record, options: ImportOptions) -> ApiResult<Option<Uuid>> {
    if app.config.mode != Mode::Dc {
        return Ok(Some(Uuid::NIL));
    }
    let requested = manifest::requested_owner(manifest);
    match requested {
        Ok(Uuid::NIL) => Ok(Some(app.config.admin_uuid.unwrap_or(Uuid::NIL))),
        requested if options.skip_owner_check => Ok(requested.ok()),
        Ok(owner) => {
            app.check_owner(owner).await?;
            Ok(Some(owner))
        }
        Err(problem) => Err(ApiError::validation(vec![problem])),
    }
}

/// Corrects `min_platform`: old versions of `imgadm` write the platform that made the image. For an LX image the origin's value
/// counts.
fn correct_platform(manifest: &mut Record, origin: Option<&Image>) {
    if manifest::has_min_platform_of_lx(manifest) {
        manifest::set_min_platform(manifest, origin);
    }
}
