// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks the origin of an image, and makes sure that the origin stays.
//!
//! If an origin was deleted while an image was written that names it, the image would be useless. So the write depends on the
//! version of the origin that was read, and gives the origin a new version. A deletion or rename of an image looks for
//! dependents after it has read the version that it deletes. Of the two, the later one meets a conflict and starts over. This
//! works between processes, too; within one process the locks of both records keep conflicts rare.

use super::lookup::RecordVersion;
use crate::db::{DbError, Stored};
use crate::images::archive::write::{CopySync, write_and_archive};
use crate::images::attempts::Attempts;
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App, Code};
use crate::manifest::create::{NoSuchOrigin, requested_origin};
use crate::manifest::{FieldError, Image, Record, Uuid};
use crate::storage::Version;

/// Longest chain of origins that is followed, as in 4.13.1.
pub(in crate::images) const MAX_CHAIN: usize = 100;

/// Who names an origin. This decides which origins are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum NamedBy {
    /// An operator: the origin must exist. Its state, owner and visibility do not matter, as in 4.13.1.
    Operator,
    /// An account: the origin must be visible to the account, and activated. An invisible origin counts as missing.
    Account(Uuid),
    /// This server, which imports origins one by one: the origin need not exist yet.
    Import,
}

impl NamedBy {
    /// The caller: an account, or an operator.
    pub(in crate::images) fn caller(account: Option<Uuid>) -> NamedBy {
        account.map_or(NamedBy::Operator, NamedBy::Account)
    }

    /// Returns the origin with this UUID, checked.
    async fn find(self, app: &App, uuid: Uuid, reading: RecordVersion) -> ApiResult<Option<Stored>> {
        if reading == RecordVersion::Known {
            match self.judge(uuid, app.db.known(uuid).await?) {
                // It may exist by now, or be visible in its current version.
                Ok(None) | Err(_) => {}
                found => return found,
            }
        }
        self.judge(uuid, app.db.get(uuid).await?)
    }

    fn judge(self, uuid: Uuid, stored: Option<Stored>) -> ApiResult<Option<Stored>> {
        match self {
            NamedBy::Import => Ok(stored),
            NamedBy::Operator => stored.map(Some).ok_or_else(|| not_there(uuid)),
            NamedBy::Account(account) => {
                let seen = stored.filter(|stored| stored.image.is_visible_to(account));
                let seen = seen.ok_or_else(|| not_there(uuid))?;
                refuse_unactivated(&seen.image)?;
                Ok(Some(seen))
            }
        }
    }
}

/// The known version of the origin that a manifest names. The write depends on it, so it need not be current here.
pub(in crate::images) async fn find_origin(
    app: &App,
    manifest: &Record,
    named_by: NamedBy,
) -> ApiResult<Option<Stored>> {
    match requested_origin(manifest).map_err(no_such_origin)? {
        Some(origin) => named_by.find(app, origin, RecordVersion::Known).await,
        None => Ok(None),
    }
}

/// Stores a record in the place of the version `replaced`, or as a new one, and archives it. `origin` is the origin that was
/// found earlier; if `None`, it is looked up.
///
/// The inner error is `Conflict` only if the conflict is about the record itself.
pub(in crate::images) async fn store(
    app: &App,
    image: &Image,
    replaced: Option<&str>,
    mut origin: Option<Stored>,
    named_by: NamedBy,
) -> ApiResult<Result<(), DbError>> {
    // Others can see the image before its archive is complete.
    let _changing = app.changes.lock_all([image.uuid()].into_iter().chain(image.origin())).await?;
    // The archived copy protects the files of an image that does not exist yet.
    let copies = if locations(image).is_empty() { CopySync::WithWrite } else { CopySync::BeforeWrite };
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        if let Some(uuid) = image.origin().filter(|_| origin.is_none()) {
            origin = named_by.find(app, uuid, RecordVersion::Current).await?;
        }
        let written = put(app, image, replaced, origin.as_slice());
        let written = write_and_archive(app, &[(image, Version::Current)], copies, written).await?;
        match (&written, origin.take()) {
            (Err(DbError::Conflict), Some(origin)) if has_changed(app, &origin).await? => {}
            _ => return Ok(written),
        }
    }
}

/// Writes a record. If the image gets a new origin, the write depends on the versions of the origin and of the given origins
/// above it.
pub(in crate::images) async fn put(
    app: &App,
    image: &Image,
    replaced: Option<&str>,
    origins: &[Stored],
) -> Result<(), DbError> {
    match (origins, replaced) {
        ([_, ..], _) => app.db.put_with_origins(image, replaced, origins).await,
        ([], Some(etag)) => app.db.replace(image, etag).await,
        ([], None) => app.db.insert(image).await,
    }
}

async fn has_changed(app: &App, origin: &Stored) -> ApiResult<bool> {
    let now = app.db.get(origin.image.uuid()).await?;
    Ok(now.is_none_or(|now| now.etag != origin.etag))
}

/// The new origin in an operator's update, and all origins above it; empty if the origin stays the same. The image must not
/// become an origin of itself. So the write depends on the versions of all these origins: another update may be about to close
/// the circle elsewhere.
pub(in crate::images) async fn find_new_origins(
    app: &App,
    image: &Image,
    updated: &Image,
) -> ApiResult<Vec<Stored>> {
    let refused = |why: String| Err(ApiError::validation(vec![FieldError::invalid("origin").because(why)]));
    let mut origins: Vec<Stored> = Vec::new();
    let mut next = updated.origin().filter(|origin| Some(*origin) != image.origin());
    while let Some(uuid) = next {
        if uuid == image.uuid() || uuid == updated.uuid() {
            return refused("the image would be an origin of itself".to_owned());
        }
        if origins.len() == MAX_CHAIN {
            return refused(format!("the image would have more than {MAX_CHAIN} origins"));
        }
        let found = match origins.is_empty() {
            true => NamedBy::Operator.find(app, uuid, RecordVersion::Current).await?,
            false => app.db.get(uuid).await?,
        };
        next = found.as_ref().and_then(|origin| origin.image.origin());
        origins.extend(found);
    }
    Ok(origins)
}

/// Rejects a change of the owner by an account that may not see the image's origin. The new owner may own the origin as well,
/// and then a clone of the image would copy the hidden origin, too.
pub(in crate::images) async fn refuse_hidden_origin(
    app: &App,
    image: &Image,
    account: Uuid,
) -> ApiResult<()> {
    let Some(uuid) = image.origin() else { return Ok(()) };
    let origin = app.db.get(uuid).await?;
    let is_seen = origin.is_some_and(|origin| origin.image.is_visible_to(account));
    if is_seen { Ok(()) } else { Err(not_there(uuid)) }
}

/// Fails with 422 if the origin is not activated. It may be disabled, as the clones of origins are.
pub(in crate::images) fn refuse_unactivated(origin: &Image) -> ApiResult<()> {
    if origin.activated() { Ok(()) } else { Err(not_active(origin.uuid())) }
}

/// 422 for an origin that must be active and is not.
pub(in crate::images) fn not_active(origin: Uuid) -> ApiError {
    ApiError::new(Code::OriginIsNotActive, format!("origin image {origin} is not active"))
}

/// 422 for an origin that does not exist, or that the caller may not see.
pub(in crate::images) fn not_there(origin: Uuid) -> ApiError {
    no_such_origin(NoSuchOrigin(origin.to_string()))
}

fn no_such_origin(error: NoSuchOrigin) -> ApiError {
    ApiError::new(Code::OriginDoesNotExist, error.to_string())
}
