// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decides where the files of an image are stored, and publishes them.

use std::time::Duration;

use crate::images::attempts::{Fenced, fence};
use crate::images::record::change::{ChangeError, Changed, change_from};
use crate::images::record::locations::{location, stored_in};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, checked, owned};
use crate::manifest::{Image, OwnName, Stor, Uuid};
use crate::storage::{Asset, Location, Ownership, PendingDeletion, Staged, Target, Upload, choose};
use crate::telemetry::err;

/// After this time an upload's record names its object, or never will: everything that an upload waits for between the two has
/// a deadline of seconds.
pub(in crate::images) const PENDING_UPLOAD_LIMIT: Duration = Duration::from_secs(3600);

/// Decides where a new file of `image` is stored. An operator may `wish` for a storage.
pub(in crate::images) fn target(app: &App, image: &Image, asset: Asset, wish: Option<Stor>) -> Target {
    let is_admins = app.config.admin_uuid == Some(image.owner());
    let ownership = if is_admins { Ownership::Admin } else { Ownership::Other };
    let stor = choose(ownership, app.storage.manta_place(), wish);
    let replaces = location(image, asset).is_some_and(|there| there.stor == stor);
    Target { uuid: image.uuid(), asset, stor, replaces }
}

/// Publishes an upload: stages it, then updates the record to name it. `naming` makes the new record. `docs/architecture.md`
/// says what each step guards against.
pub(in crate::images) async fn publish(
    app: &App,
    access: Access,
    asset: Asset,
    upload: Upload,
    naming: impl Fn(&Image) -> ApiResult<Image>,
) -> ApiResult<Image> {
    let publishing = app.locks.lock(access.uuid).await?;
    // The upload of an image that was deleted need not be stored. Its directory in Manta is gone as well.
    checked(app, access, |_| Ok(())).await?;
    let staged = match upload.stage().await {
        Ok(staged) => staged,
        Err(error) => {
            // Another process may have deleted the image meanwhile, or deleted it and created it again.
            owned(app, access).await?;
            return Err(error.into());
        }
    };
    let naming = |image: &Image| displacing(image, naming(image)?, asset);
    let changed = change_from(app, access, &Precondition::default(), naming).await;
    let Changed { after: image, replaced } = settle(app, access.uuid, staged, changed).await?;
    delete_replaced(app, access.uuid, replaced).await;
    // Giving the file its final name may be a long copy.
    drop(publishing);
    ensure_final_name(app, &image, asset).await;
    Ok(image)
}

/// Records in the entry of the new file, which has an object name of its own, what is at the final name in Manta.
fn displacing(before: &Image, after: Image, asset: Asset) -> ApiResult<Image> {
    let Some(own) = location(&after, asset).and_then(|new| new.object) else { return Ok(after) };
    let before = location(before, asset).filter(|old| old.stor == Stor::Manta);
    let displaces = before.and_then(|old| match old.object {
        // Neither of the two files is at the final name.
        Some(own) => own.displaces,
        None => old.md5,
    });
    stored_in(&after, asset, Stor::Manta, Some(&OwnName { displaces, ..own }))
}

/// Finishes a staged file after the change of the record that names it: settles it if the change was made, discards it if the
/// change was not made, and leaves it for the sweep if nobody knows.
async fn settle(
    app: &App,
    uuid: Uuid,
    staged: Staged,
    changed: Result<Changed, ChangeError>,
) -> ApiResult<Changed> {
    match changed {
        Ok(changed) => {
            settle_published(uuid, staged).await;
            Ok(changed)
        }
        Err(ChangeError::OutcomeUnknown(error)) => {
            staged.leave();
            Err(error)
        }
        Err(ChangeError::Unchanged(error)) => {
            discard(app, uuid, staged).await;
            Err(error)
        }
    }
}

/// Moves a file that a record names to its final place. It can be read without, so a failure is only logged.
pub(in crate::images) async fn settle_published(uuid: Uuid, staged: Staged) {
    if let Err(error) = staged.settle().await {
        tracing::warn!(%uuid, err.json = %err(&error), "a file of an image waits for its final place");
    }
}

/// Removes a file that no record names or will name.
pub(in crate::images) async fn discard(app: &App, uuid: Uuid, staged: Staged) {
    let was_in_manta = staged.is_in_manta();
    if let Err(error) = staged.discard().await {
        tracing::warn!(%uuid, err.json = %err(&error), "cannot remove a file that no image has");
    }
    // The image may have been deleted meanwhile. Its deletion could not remove the directory with this file in it.
    if was_in_manta && matches!(app.db.get(uuid).await, Ok(None)) {
        delete_directory(app, uuid).await;
    }
}

/// Deletes the directory in Manta of a deleted image, unless this process receives a file for a new image with the same UUID.
pub(in crate::images) async fn delete_directory(app: &App, uuid: Uuid) {
    if app.uploads.is_running(uuid) {
        return;
    }
    if let Err(error) = app.storage.delete_directory(uuid).await {
        tracing::warn!(%uuid, err.json = %err(&error), "cannot delete the directory of an image that is gone");
    }
}

/// Deletes replaced files; the caller holds the image's lock. The record is what counts, so a failure is only logged.
pub(in crate::images) async fn delete_replaced(app: &App, uuid: Uuid, replaced: PendingDeletion) {
    if let Err(error) = app.storage.delete(replaced).await {
        tracing::error!(%uuid, err.json = %err(&error), "cannot delete a file that was replaced");
    }
}

/// Gives a file of an image its final name, if it does not have it.
pub(in crate::images) async fn ensure_final_name(app: &App, image: &Image, asset: Asset) {
    if location(image, asset).is_some_and(|location| location.object.is_some()) {
        try_move_into_place(app, image.uuid(), asset).await;
    }
}

/// Runs [`move_into_place`]. The file can be read without, so a failure is only logged; the sweep tries again.
pub(in crate::images) async fn try_move_into_place(app: &App, uuid: Uuid, asset: Asset) {
    if let Err(error) = move_into_place(app, uuid, asset).await {
        tracing::warn!(%uuid, err.json = %err(&error), "an object waits for its final name");
    }
}

/// Gives an object in Manta that has a name of its own the final name: makes a copy, updates the record, deletes the object
/// under the old name.
async fn move_into_place(app: &App, uuid: Uuid, asset: Asset) -> ApiResult<()> {
    let _moving = app.moves.lock(uuid).await?;
    let Some(moving) = stored_location(app, uuid, asset).await? else { return Ok(()) };
    let Some(own) = &moving.object else { return Ok(()) };
    let manta = app.storage.manta()?;
    let occupant = manta.occupant(&moving).await?;
    let may_replace = occupant.may_be_replaced(own)
        || occupant.is_older_than(PENDING_UPLOAD_LIMIT) && fence_location(app, &moving).await?;
    if !may_replace {
        return Ok(());
    }
    // The copy is conditional: it does not replace an object that gets the final name from here on. An object that got there
    // before was named by the record later than this look at the record.
    if stored_location(app, uuid, asset).await?.as_ref() != Some(&moving) {
        return Ok(());
    }
    let Some(copy) = app.storage.copy_to_final_name(&moving, occupant).await? else { return Ok(()) };
    let access = Access { uuid, channel: None, account: None };
    let _publishing = app.locks.lock(uuid).await?;
    let named = |image: &Image| in_place(image, &moving);
    let changed = change_from(app, access, &Precondition::default(), named).await;
    let changed = settle(app, uuid, copy, changed).await?;
    Ok(app.storage.delete(changed.replaced).await?)
}

/// The image with its file at the final name; if another file was uploaded since, that file displaces the moved one.
fn in_place(image: &Image, moved: &Location) -> ApiResult<Image> {
    let replaced = || ApiError::new(Code::ServiceUnavailableError, "the file was replaced meanwhile");
    let named =
        location(image, moved.asset).filter(|named| named.stor == Stor::Manta).ok_or_else(replaced)?;
    if named == *moved {
        return stored_in(image, moved.asset, Stor::Manta, None);
    }
    let own = named.object.ok_or_else(replaced)?;
    let own = OwnName { displaces: moved.md5.clone(), ..own };
    stored_in(image, moved.asset, Stor::Manta, Some(&own))
}

/// Writes the record once more, so that no earlier write can still be made. Returns false if the record names another file.
pub(in crate::images) async fn fence_location(app: &App, moving: &Location) -> ApiResult<bool> {
    let names_another = |image: &Image| location(image, moving.asset).as_ref() != Some(moving);
    Ok(matches!(fence(app, moving.uuid, names_another).await?, Fenced::Written(_)))
}

/// Returns where the database says that a file is.
async fn stored_location(app: &App, uuid: Uuid, asset: Asset) -> ApiResult<Option<Location>> {
    let stored = app.db.get(uuid).await?;
    Ok(stored.and_then(|stored| location(&stored.image, asset)))
}
