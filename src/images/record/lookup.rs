// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::db::{Found, Stored};
use crate::images::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{Image, Uuid, View};

/// The image for a read, if it exists, is in the channel, and is visible to the caller; 404 in any other case.
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

/// Where a change takes the record from that it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::images) enum Reading {
    /// What is known of it, which may be old. If so, the write of the change finds out; and so does a refusal, which begins
    /// again with what is current.
    Known,
    /// As it is now.
    Current,
}

/// The record as it is now, for a change: one that the caller does not see is a 404.
pub(in crate::images) async fn current(app: &App, access: Access) -> ApiResult<Stored> {
    read(app, access, Reading::Current).await
}

async fn read(app: &App, access: Access, reading: Reading) -> ApiResult<Stored> {
    let is_shown = |image: &Image| {
        app.is_in(access.channel, image.channels()) && access.sees(|account| image.is_visible_to(account))
    };
    let stored = match reading {
        Reading::Known => app.db.known(access.uuid).await?,
        Reading::Current => app.db.get(access.uuid).await?,
    };
    stored.filter(|stored| is_shown(&stored.image)).ok_or_else(|| ApiError::image_not_found(access.uuid))
}

/// The same for a caller that must own the image: one that only sees it gets `NotImageOwner`.
pub async fn owned(app: &App, access: Access) -> ApiResult<Stored> {
    read_owned(app, access, Reading::Current).await
}

/// The record for a change by its owner, and what `check` makes of it. What is known of it will do, unless that is to be
/// refused. So one that the caller does not see is asked for once, as one that is not there is.
pub(in crate::images) async fn owned_if<T>(
    app: &App,
    access: Access,
    reading: Reading,
    check: impl Fn(&Image) -> ApiResult<T>,
) -> ApiResult<(Stored, T)> {
    let attempt = async |reading| {
        let stored = read_owned(app, access, reading).await?;
        let checked = check(&stored.image)?;
        Ok((stored, checked))
    };
    match attempt(reading).await {
        Err(_) if reading == Reading::Known => attempt(Reading::Current).await,
        done => done,
    }
}

/// The image for a caller that must own it, if it passes this check.
pub async fn checked<T>(
    app: &App,
    access: Access,
    check: impl Fn(&Image) -> ApiResult<T>,
) -> ApiResult<(Image, T)> {
    let (stored, checked) = owned_if(app, access, Reading::Known, check).await?;
    Ok((stored.image, checked))
}

async fn read_owned(app: &App, access: Access, reading: Reading) -> ApiResult<Stored> {
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
    /// Whether the caller may see an image that `is_visible_to` the accounts that this says. Operators see all.
    fn sees(&self, is_visible_to: impl Fn(Uuid) -> bool) -> bool {
        self.account.is_none_or(is_visible_to)
    }
}
