// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::db::{Found, Stored};
use crate::images::attempts::Attempts;
use crate::images::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{Image, Uuid, View};

/// The image for a read, if it exists, is in the channel, and is visible to the caller; otherwise 404.
pub async fn lookup(app: &App, access: Access) -> ApiResult<Found<Arc<View>>> {
    let is_shown = |view: &View| {
        app.is_in(access.channel, view.channels()) && access.sees(|account| view.is_visible_to(account))
    };
    let found = app.db.view_if(access.uuid, is_shown).await?;
    match found.value {
        Some(value) => Ok(Found { value, stale: found.stale }),
        None => Err(ApiError::image_not_found(access.uuid)),
    }
}

/// Which version of the record a change starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum RecordVersion {
    /// The known version, which may be old. If it is, the write of the change conflicts. A change that would be rejected is
    /// checked again with the current version.
    Known,
    /// The current version.
    Current,
}

impl RecordVersion {
    /// Returns how an attempt reads the record: after a conflict, the known version is old.
    pub(in crate::images) fn of(attempts: &Attempts) -> RecordVersion {
        if attempts.is_first() { RecordVersion::Known } else { RecordVersion::Current }
    }
}

/// The current record, for a change; 404 if the caller may not see it.
pub(in crate::images) async fn current(app: &App, access: Access) -> ApiResult<Stored> {
    read(app, access, RecordVersion::Current).await
}

async fn read(app: &App, access: Access, reading: RecordVersion) -> ApiResult<Stored> {
    let is_shown = |image: &Image| {
        app.is_in(access.channel, image.channels()) && access.sees(|account| image.is_visible_to(account))
    };
    let stored = match reading {
        RecordVersion::Known => app.db.known(access.uuid).await?,
        RecordVersion::Current => app.db.get(access.uuid).await?,
    };
    stored.filter(|stored| is_shown(&stored.image)).ok_or_else(|| ApiError::image_not_found(access.uuid))
}

/// The current record, for a caller that must own the image; a caller that may only see it gets `NotImageOwner`.
pub async fn owned(app: &App, access: Access) -> ApiResult<Stored> {
    read_owned(app, access, RecordVersion::Current).await
}

/// The record for a change by its owner, and the result of `check`. The known version is used unless it is rejected. So an
/// image that the caller may not see costs one request to the database, just as a missing one does.
pub(in crate::images) async fn owned_if<T>(
    app: &App,
    access: Access,
    reading: RecordVersion,
    check: impl Fn(&Image) -> ApiResult<T>,
) -> ApiResult<(Stored, T)> {
    let attempt = async |reading| {
        let stored = read_owned(app, access, reading).await?;
        let checked = check(&stored.image)?;
        Ok((stored, checked))
    };
    match attempt(reading).await {
        Err(_) if reading == RecordVersion::Known => attempt(RecordVersion::Current).await,
        done => done,
    }
}

/// The image for a caller that must own it, if it passes `check`.
pub async fn checked<T>(
    app: &App,
    access: Access,
    check: impl Fn(&Image) -> ApiResult<T>,
) -> ApiResult<(Image, T)> {
    let (stored, checked) = owned_if(app, access, RecordVersion::Known, check).await?;
    Ok((stored.image, checked))
}

async fn read_owned(app: &App, access: Access, reading: RecordVersion) -> ApiResult<Stored> {
    let stored = read(app, access, reading).await?;
    match access.account {
        Some(account) if stored.image.owner() != account => {
            let message = format!("image {} is not owned by {account}", access.uuid);
            Err(ApiError::new(Code::NotImageOwner, message))
        }
        _ => Ok(stored),
    }
}

impl Access {
    /// Returns whether the caller may see an image that `is_visible_to` certain accounts. Operators see all images.
    fn sees(&self, is_visible_to: impl Fn(Uuid) -> bool) -> bool {
        self.account.is_none_or(is_visible_to)
    }
}
