// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::lookup::{RecordVersion, owned_if};
use super::origin::{find_new_origins, put};
use crate::db::{DbError, Stored};
use crate::images::archive::write::{CopySync, write_and_archive};
use crate::images::attempts::{Attempts, is_made};
use crate::images::record::locations::replaced;
use crate::images::{Access, ApiError, ApiResult, App, Precondition};
use crate::manifest::{Image, Uuid};
use crate::storage::{PendingDeletion, Version};

/// Changes a record. This is the one way to do so: read the record, check the caller's rights, compute the change, and write it
/// if the record still has the same version; otherwise start over with the current record. So no write undoes another.
pub(in crate::images) async fn change(
    app: &App,
    access: Access,
    change: impl Fn(&Image) -> ApiResult<Image>,
) -> Result<Image, ChangeError> {
    change_if(app, access, &Precondition::default(), change).await
}

/// Changes a record if it meets a precondition, which is checked on the version that is replaced.
pub(in crate::images) async fn change_if(
    app: &App,
    access: Access,
    precondition: &Precondition,
    change: impl Fn(&Image) -> ApiResult<Image>,
) -> Result<Image, ChangeError> {
    Ok(change_from(app, access, precondition, change).await?.after)
}

/// A change that was made.
pub(in crate::images) struct Changed {
    /// The image after the change.
    pub(in crate::images) after: Image,
    /// The files that only the old record named. The caller deletes them, under the image's lock.
    pub(in crate::images) replaced: PendingDeletion,
}

/// Changes the files of a record.
pub(in crate::images) async fn change_from(
    app: &App,
    access: Access,
    precondition: &Precondition,
    change: impl Fn(&Image) -> ApiResult<Image>,
) -> Result<Changed, ChangeError> {
    change_with_origin(app, access, precondition, None, change).await
}

/// Changes a record, perhaps to the origin `new_origin`.
pub(in crate::images) async fn change_with_origin(
    app: &App,
    access: Access,
    precondition: &Precondition,
    new_origin: Option<Uuid>,
    change: impl Fn(&Image) -> ApiResult<Image>,
) -> Result<Changed, ChangeError> {
    // Changes by this process wait for each other, so that only changes by other processes make one start over.
    let _changing = app.changes.lock_all([access.uuid].into_iter().chain(new_origin)).await?;
    let changed = |image: &Image| {
        precondition.check(image)?;
        change(image)
    };
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        let reading = RecordVersion::of(&attempts);
        let (Stored { image: before, etag }, after) = owned_if(app, access, reading, changed).await?;
        let origins = find_new_origins(app, &before, &after).await?;
        // The files are looked up before the write. A file that gets one of these names later belongs to a record.
        let replaced = app.storage.prepare_deletion(access.uuid, &replaced(&before, &after)).await;
        let written = put(app, &after, Some(&etag), &origins);
        match write_and_archive(app, &[(&after, Version::Current)], CopySync::WithWrite, written).await? {
            Err(error @ DbError::OutcomeUnknown(_)) => return Err(ChangeError::OutcomeUnknown(error.into())),
            written => {
                if is_made(written).map_err(ApiError::from)? {
                    return Ok(Changed { after, replaced });
                }
            }
        }
    }
}

/// Changes members that no client sees, so that the archive need not change. Nothing happens if there is no such image, or if
/// `change` returns `None`.
pub(in crate::images) async fn annotate(
    app: &App,
    uuid: Uuid,
    change: impl Fn(&Image) -> ApiResult<Option<Image>>,
) -> ApiResult<()> {
    let _changing = app.changes.lock(uuid).await?;
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        let Some(Stored { image, etag }) = app.db.get(uuid).await? else { return Ok(()) };
        let Some(after) = change(&image)? else { return Ok(()) };
        if is_made(app.db.replace(&after, &etag).await)? {
            return Ok(());
        }
    }
}

/// Why a change failed, and whether the record may have changed.
#[derive(Debug)]
pub(in crate::images) enum ChangeError {
    /// The record was not changed.
    Unchanged(ApiError),
    /// The record may have been changed.
    OutcomeUnknown(ApiError),
}

impl From<ApiError> for ChangeError {
    fn from(error: ApiError) -> ChangeError {
        ChangeError::Unchanged(error)
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> ApiError {
        match error {
            ChangeError::Unchanged(error) | ChangeError::OutcomeUnknown(error) => error,
        }
    }
}
