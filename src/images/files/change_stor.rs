// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::publish::{PENDING_UPLOAD_LIMIT, delete_replaced, fence_location, publish};
use super::reading::verify;
use crate::db::Stored;
use crate::images::record::locations::{location, stored_in};
use crate::images::{Access, ApiError, ApiResult, App, Code, run_to_completion};
use crate::manifest::{FieldError, Image, Stor};
use crate::storage::{Asset, Location, Target};
use crate::telemetry::err;

const FILE: Asset = Asset::File(0);

/// How often a move starts over because the file was replaced or moved meanwhile.
const ATTEMPTS: usize = 5;

/// AdminChangeImageStor: moves the file of an image to another storage. It makes a verified copy, updates the record, then
/// deletes the old file. An interrupted move can be repeated, which also removes what the first one left behind.
pub async fn change_stor(app: &Arc<App>, access: Access, stor: Stor) -> ApiResult<Image> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let mut outcome = Err(replaced_meanwhile());
        for _ in 0..ATTEMPTS {
            let image = stored(&app, access).await?;
            let from = movable(&image)?;
            if from.stor == stor {
                remove_rest(&app, access, stor).await;
                return Ok(image);
            }
            outcome = move_file(&app, access, &image, &from, stor).await;
            if outcome.is_ok() || movable(&stored(&app, access).await?)? == from {
                return outcome;
            }
        }
        outcome
    })
    .await
}

async fn stored(app: &App, access: Access) -> ApiResult<Image> {
    let stored = app.db.get(access.uuid).await?;
    stored.map(|stored| stored.image).ok_or_else(|| ApiError::image_not_found(access.uuid))
}

async fn move_file(
    app: &App,
    access: Access,
    image: &Image,
    from: &Location,
    stor: Stor,
) -> ApiResult<Image> {
    let target = Target { uuid: access.uuid, asset: FILE, stor, replaces: false };
    let copy = async { Ok(app.storage.copy(from, target).await?) };
    let upload = app.uploads.unless_deleted(access.uuid, copy).await?;
    if let [file] = image.files() {
        verify(access.uuid, &upload.digests, file)?;
    }
    let object = upload.object();
    let moved = |image: &Image| match movable(image)? {
        current if current == *from => stored_in(image, FILE, stor, object.as_ref()),
        _ => Err(replaced_meanwhile()),
    };
    publish(app, access, FILE, upload, moved).await
}

fn replaced_meanwhile() -> ApiError {
    ApiError::new(Code::ServiceUnavailableError, "the file was replaced meanwhile")
}

/// Returns where the one file of an image is, if it can be moved.
fn movable(image: &Image) -> ApiResult<Location> {
    let refused = |what: &str| {
        let message = format!("the storage of an image with {what} cannot be changed");
        Err(ApiError::new(Code::NotImplemented, message))
    };
    if image.icon().is_some() {
        return refused("an icon");
    }
    match image.files() {
        [file] => Ok(Location::of_file(image.uuid(), 0, file)),
        [] => Err(ApiError::validation(vec![FieldError::invalid("files").because("the image has no file")])),
        _ => refused("several files"),
    }
}

/// Deletes what an interrupted move has left in the other storages. The move itself is done, so a failure is only logged.
async fn remove_rest(app: &App, access: Access, stor: Stor) {
    for other in app.storage.kinds().into_iter().filter(|other| *other != stor) {
        if let Err(error) = remove_rest_in(app, access, stor, other).await {
            tracing::warn!(uuid = %access.uuid, err.json = %err(&error), "cannot delete the rest of a moved file");
        }
    }
}

/// Deletes a file in `other` that the record does not name and can never name again: the lock keeps other requests of this
/// process away from the image's files, and the fence makes earlier writes of other processes fail.
async fn remove_rest_in(app: &App, access: Access, stor: Stor, other: Stor) -> ApiResult<()> {
    let _deleting = app.locks.lock(access.uuid).await?;
    let Some(Stored { image, .. }) = app.db.get(access.uuid).await? else { return Ok(()) };
    let Some(file) = location(&image, FILE).filter(|file| file.stor == stor) else { return Ok(()) };
    let rest = Location { stor: other, object: None, ..file.clone() };
    if let Some(rest) = app.storage.prepare_deletion_of_rest(&rest, PENDING_UPLOAD_LIMIT).await?
        && fence_location(app, &file).await?
    {
        delete_replaced(app, access.uuid, rest).await;
    }
    Ok(())
}
