//! Where the files of an image go, and how they get there for good.

use std::time::Duration;

use super::change::{ChangeError, Changed, change, change_from};
use super::{Access, ApiError, ApiResult, App, Code, Precondition};
use crate::db::{DbError, Stored};
use crate::manifest::{Icon, Image, ImageFile, OwnName, Stor, Uuid};
use crate::storage::{Asset, Location, Ownership, Received, Staged, Target, choose};
use crate::telemetry::err;

/// An upload has let its record name an object that has been there for so long, or it never will: what it waits for has
/// deadlines of seconds.
const NAMED_BY_THEN: Duration = Duration::from_secs(3600);

/// The stored files of an image, its icon last.
pub(super) fn locations(image: &Image) -> Vec<Location> {
    let files = image.files().iter().enumerate();
    let files = files.map(|(index, file)| Location::of_file(image.uuid(), index, file));
    files.chain(image.icon().map(|icon| Location::of_icon(image.uuid(), icon))).collect()
}

/// The names in the image's directory of a storage that belong to these files. One that waits for its final name has
/// both.
pub(super) fn known_names(files: &[ImageFile], icon: Option<&Icon>, stor: Stor) -> Vec<String> {
    let files = files.iter().enumerate().map(|(index, file)| (Asset::File(index), file.stor, &file.object));
    let all = files.chain(icon.map(|icon| (Asset::Icon, icon.stor, &icon.object)));
    let here = all.filter(|(_, place, _)| *place == stor);
    here.flat_map(|(asset, _, own)| own.iter().map(|own| own.name.clone()).chain([asset.to_string()]))
        .collect()
}

fn location(image: &Image, asset: Asset) -> Option<Location> {
    locations(image).into_iter().find(|location| location.asset == asset)
}

/// Where a new first file of `image` is to go, if the operator wishes so.
pub fn target_of_file(app: &App, image: &Image, wish: Option<Stor>) -> Target {
    target(app, image, Asset::File(0), wish)
}

/// The same for an icon.
pub fn target_of_icon(app: &App, image: &Image, wish: Option<Stor>) -> Target {
    target(app, image, Asset::Icon, wish)
}

fn target(app: &App, image: &Image, asset: Asset, wish: Option<Stor>) -> Target {
    let is_admins = app.config.admin_uuid == Some(image.owner());
    let ownership = if is_admins { Ownership::Admin } else { Ownership::Other };
    let stor = choose(ownership, app.storage.manta_place(), wish);
    let replaces = location(image, asset).is_some_and(|there| there.stor == stor);
    Target { uuid: image.uuid(), asset, stor, replaces }
}

/// Makes a received file that of an image, by the change of the record that names it. From here on there is something to
/// lose: see `docs/architecture.md`.
pub(super) async fn publish(
    app: &App,
    access: Access,
    asset: Asset,
    received: Received,
    naming: impl Fn(&Image) -> ApiResult<Image>,
) -> ApiResult<Image> {
    let publishing = app.locks.lock(access.uuid).await?;
    let staged = app.storage.stage(received, access.uuid, asset).await?;
    let naming = |image: &Image| displacing(image, naming(image)?, asset);
    let changed = change_from(app, access, &Precondition::default(), naming).await;
    let image = settle(app, asset, staged, changed).await?;
    // What follows may be a long copy.
    drop(publishing);
    settle_name(app, &image, asset).await;
    Ok(image)
}

/// Notes what is at the final name of a file in Manta, where the new one got another name because of that.
fn displacing(before: &Image, after: Image, asset: Asset) -> ApiResult<Image> {
    let Some(own) = location(&after, asset).and_then(|new| new.object) else { return Ok(after) };
    let before = location(before, asset).filter(|old| old.stor == Stor::Manta);
    let displaces = before.and_then(|old| match old.object {
        // Neither got there.
        Some(own) => own.displaces,
        None => old.md5,
    });
    stored_in(&after, asset, Stor::Manta, Some(&OwnName { displaces, ..own }))
}

fn name(location: &Location) -> Option<&str> {
    location.object.as_ref().map(|own| own.name.as_str())
}

/// Puts a staged file where the change of the record that names it belongs: to its place when it was made, away when it
/// was not, and where it is found again when nobody knows. What it replaces goes.
async fn settle(
    app: &App,
    asset: Asset,
    staged: Staged,
    changed: Result<Changed, ChangeError>,
) -> ApiResult<Image> {
    match changed {
        Ok(Changed { before, after }) => {
            settle_named(after.uuid(), staged).await;
            remove_replaced(app, asset, &before, &after).await;
            Ok(after)
        }
        Err(ChangeError::OutcomeUnknown(error)) => {
            staged.leave();
            Err(error)
        }
        Err(ChangeError::Unchanged(error)) => Err(error),
    }
}

/// Lets a file that a record names have its final place. It is found without, so a failure is ours to tell.
pub(super) async fn settle_named(uuid: Uuid, staged: Staged) {
    if let Err(error) = staged.settle().await {
        tracing::warn!(%uuid, err.json = %err(&error), "a file of an image waits for its final place");
    }
}

/// Deletes the file that was named before, unless the new one takes its place.
async fn remove_replaced(app: &App, asset: Asset, before: &Image, after: &Image) {
    let Some(old) = location(before, asset) else { return };
    let takes_its_place =
        |new: &Location| new.stor == old.stor && (old.object.is_none() || name(&old) == name(new));
    if location(after, asset).as_ref().is_some_and(takes_its_place) {
        return;
    }
    if let Err(error) = app.storage.delete(old.uuid, std::slice::from_ref(&old)).await {
        tracing::warn!(uuid = %old.uuid, err.json = %err(&error), "cannot delete a file that was replaced");
    }
}

/// Gives a file of an image its final name, if it has not got it.
pub(super) async fn settle_name(app: &App, image: &Image, asset: Asset) {
    if location(image, asset).is_some_and(|location| location.object.is_some()) {
        move_into_place_or_tell(app, image.uuid(), asset).await;
    }
}

/// [`move_into_place`] for a file that can be read without: when it fails, the sweep tries again.
pub(super) async fn move_into_place_or_tell(app: &App, uuid: Uuid, asset: Asset) {
    if let Err(error) = move_into_place(app, uuid, asset).await {
        tracing::warn!(%uuid, err.json = %err(&error), "an object waits for its final name");
    }
}

/// Gives a file in Manta that has a name of its own the final one: a copy, then the record, then the old name goes.
async fn move_into_place(app: &App, uuid: Uuid, asset: Asset) -> ApiResult<()> {
    let _moving = app.moves.lock(uuid).await?;
    let Some(moving) = stored_location(app, uuid, asset).await? else { return Ok(()) };
    let Some(own) = &moving.object else { return Ok(()) };
    let manta = app.storage.manta()?;
    let occupant = manta.occupant(&moving).await?;
    let may_go = occupant.may_go(own) || occupant.is_older_than(NAMED_BY_THEN) && fence(app, &moving).await?;
    if !may_go {
        return Ok(());
    }
    // What comes to the final name from here on is not replaced. What came there before was named by the record after.
    let is_still_named = stored_location(app, uuid, asset).await?.as_ref() == Some(&moving);
    if !is_still_named || !manta.settle(&moving, occupant).await? {
        return Ok(());
    }
    let access = Access { uuid, channel: None, account: None };
    let image = change(app, access, |image| in_place(image, &moving)).await?;
    match location(&image, asset) {
        Some(location) if location.object.is_none() => Ok(app.storage.delete(uuid, &[moving]).await?),
        _ => Ok(()),
    }
}

/// The image whose file is at its final name by now; or another one is there that displaces it.
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

/// Writes the record once more, so that no write of before can still be made; false if it names another file by now.
async fn fence(app: &App, moving: &Location) -> ApiResult<bool> {
    let Some(Stored { image, etag }) = app.db.get(moving.uuid).await? else { return Ok(false) };
    if location(&image, moving.asset).as_ref() != Some(moving) {
        return Ok(false);
    }
    match app.db.replace(&image.fenced().map_err(ApiError::validation)?, &etag).await {
        Ok(()) => Ok(true),
        Err(DbError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the database says that a file is now.
async fn stored_location(app: &App, uuid: Uuid, asset: Asset) -> ApiResult<Option<Location>> {
    let stored = app.db.get(uuid).await?;
    Ok(stored.and_then(|stored| location(&stored.image, asset)))
}

/// The image with a file that is stored there.
pub(super) fn stored_in(
    image: &Image,
    asset: Asset,
    stor: Stor,
    object: Option<&OwnName>,
) -> ApiResult<Image> {
    let changed = match asset {
        Asset::File(index) => image.with_file_in(index, stor, object),
        Asset::Icon => image.with_icon_in(stor, object),
    };
    changed.map_err(ApiError::validation)
}
