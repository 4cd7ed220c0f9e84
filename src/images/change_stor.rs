use std::sync::Arc;

use super::clone::verify;
use super::placing::{publish, stored_in};
use super::{Access, ApiError, ApiResult, App, Code, to_the_end};
use crate::db::Stored;
use crate::manifest::{FieldError, Image, Stor};
use crate::storage::{Asset, Location, Target};
use crate::telemetry::err;

const FILE: Asset = Asset::File(0);

/// AdminChangeImageStor: moves the file of an image to another storage. A verified copy, then the record, then the old file
/// goes. If it is interrupted it can be repeated: what it has left behind goes then.
pub async fn change_stor(app: &Arc<App>, access: Access, stor: Stor) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let Stored { image, .. } =
            app.db.get(access.uuid).await?.ok_or_else(|| ApiError::image_not_found(access.uuid))?;
        let from = movable(&image)?;
        if from.stor == stor {
            remove_others(&app, &image, &from).await;
            return Ok(image);
        }
        let target = Target { uuid: access.uuid, asset: FILE, stor, replaces: false };
        let received = app.storage.copy(&from, target).await?;
        if let [file] = image.files() {
            verify(access.uuid, &received.digests, file)?;
        }
        let object = received.object();
        let moved = |image: &Image| match movable(image)? {
            current if current == from => stored_in(image, FILE, stor, object.as_ref()),
            _ => Err(ApiError::new(Code::ServiceUnavailableError, "the file was replaced meanwhile")),
        };
        publish(&app, access, FILE, received, moved).await
    })
    .await
}

/// The one file of an image that can be moved.
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

/// Deletes what an interrupted move has left in the other storages.
async fn remove_others(app: &App, image: &Image, file: &Location) {
    for stor in app.storage.kinds().into_iter().filter(|stor| *stor != file.stor) {
        let other = Location { stor, object: None, ..file.clone() };
        if let Err(error) = app.storage.delete(image.uuid(), &[other]).await {
            tracing::warn!(uuid = %image.uuid(), err.json = %err(&error), "cannot delete the rest of a moved file");
        }
    }
}
