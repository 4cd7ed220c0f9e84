// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the origin of an image must be, and how it stays.
//!
//! An origin that goes while an image is written that names it would leave that image useless. So the write depends on the
//! version of the origin that was looked at, and makes it another one; and whoever deletes an image, or gives it another
//! UUID, looks for dependents after reading the version that goes. Of the two, the later one meets a conflict and looks
//! again. That holds between processes, too; within one the locks of both records keep conflicts rare.

use super::lookup::Reading;
use crate::db::{DbError, Stored};
use crate::images::app::ATTEMPTS;
use crate::images::archive::write::{Copies, archived};
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App, Code};
use crate::manifest::create::{NoSuchOrigin, requested_origin};
use crate::manifest::{FieldError, Image, Record, Uuid};
use crate::storage::Version;

/// Longest chain of origins that is followed, as in 4.13.1.
pub(in crate::images) const MAX_CHAIN: usize = 100;

/// Who names an origin, which decides what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum NamedBy {
    /// An operator: it must be there. Its state, owner and visibility do not matter, as in 4.13.1.
    Operator,
    /// An account: it must be visible to it, and activated. One that it does not see is not there.
    Account(Uuid),
    /// This server, which imports origins one by one: it need not be there yet.
    Import,
}

impl NamedBy {
    /// The caller of this account call, or an operator.
    pub(in crate::images) fn caller(account: Option<Uuid>) -> NamedBy {
        account.map_or(NamedBy::Operator, NamedBy::Account)
    }

    /// The origin with this UUID.
    async fn find(self, app: &App, uuid: Uuid, reading: Reading) -> ApiResult<Option<Stored>> {
        if reading == Reading::Known {
            match self.judge(uuid, app.db.known(uuid).await?) {
                // It may be there, and another one, by now.
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

/// The origin that a manifest names, as far as is known: it is written with, so that it has to be so.
pub(in crate::images) async fn find_origin(
    app: &App,
    manifest: &Record,
    named_by: NamedBy,
) -> ApiResult<Option<Stored>> {
    match requested_origin(manifest).map_err(no_such_origin)? {
        Some(origin) => named_by.find(app, origin, Reading::Known).await,
        None => Ok(None),
    }
}

/// Stores a record in the place of the version `replaced`, or of none, and lets the archive have it. `origin` is that of
/// the image as it was found; without one it is looked for.
///
/// The inner error is a `Conflict` only where it is one about the record itself.
pub(in crate::images) async fn store(
    app: &App,
    image: &Image,
    replaced: Option<&str>,
    mut origin: Option<Stored>,
    named_by: NamedBy,
) -> ApiResult<Result<(), DbError>> {
    // Others see the image before its archive is complete.
    let _changing = app.changes.lock_all([image.uuid()].into_iter().chain(image.origin())).await?;
    // The files of an image that is not there yet stay for as long as its copy is there.
    let copies = if locations(image).is_empty() { Copies::Beside } else { Copies::Before };
    for _ in 0..ATTEMPTS {
        if let Some(uuid) = image.origin().filter(|_| origin.is_none()) {
            origin = named_by.find(app, uuid, Reading::Current).await?;
        }
        let written = put(app, image, replaced, origin.as_slice());
        let written = archived(app, &[(image, Version::Current)], copies, written).await?;
        match (&written, origin.take()) {
            (Err(DbError::Conflict), Some(origin)) if has_changed(app, &origin).await? => {}
            _ => return Ok(written),
        }
    }
    Err(DbError::Conflict.into())
}

/// Writes a record, and lets its origin, and those above it that are given, stay as they are, if it is an origin that the
/// image has not had before.
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

/// The origin that an operator's update gives an image, and all above it; none if it keeps the one that it has. The image must
/// not become an origin of itself: so all of them have to be the same still when it is written, since other updates may be
/// about to close the circle elsewhere.
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
            true => NamedBy::Operator.find(app, uuid, Reading::Current).await?,
            false => app.db.get(uuid).await?,
        };
        next = found.as_ref().and_then(|origin| origin.image.origin());
        origins.extend(found);
    }
    Ok(origins)
}

/// An account must see the origin of an image that it gives to another one: that may be the owner of the origin, whose
/// images are then cloned together.
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

/// 422 for an origin that has to be activated and is not. It may be disabled, as the clones of origins are.
pub(in crate::images) fn refuse_unactivated(origin: &Image) -> ApiResult<()> {
    if origin.activated() { Ok(()) } else { Err(not_active(origin.uuid())) }
}

/// 422 for an origin that must be active and is not.
pub(in crate::images) fn not_active(origin: Uuid) -> ApiError {
    ApiError::new(Code::OriginIsNotActive, format!("origin image {origin} is not active"))
}

/// 422 for an origin that does not exist, or not for the caller.
pub(in crate::images) fn not_there(origin: Uuid) -> ApiError {
    no_such_origin(NoSuchOrigin(origin.to_string()))
}

fn no_such_origin(error: NoSuchOrigin) -> ApiError {
    ApiError::new(Code::OriginDoesNotExist, error.to_string())
}
