use super::archive::archived;
use super::change::ATTEMPTS;
use super::delete::{delete_files, refuse_dependents};
use super::origin::find_new_origin;
use super::placing::{locations, settle_name, settle_named, stored_in};
use super::{Access, ApiError, ApiResult, App, Code, Precondition, owned};
use crate::db::{DbError, Stored};
use crate::manifest::{FieldError, Image, Uuid};
use crate::storage::{Asset, Staged, Version};

/// Gives an image that is not activated another UUID, with everything else that `update` changes.
///
/// Its files get a second name for the new UUID, then one write replaces the record, then the first names go. The
/// record says what it was called before, so that after a crash the sweep can do the rest.
pub(super) async fn rename(
    app: &App,
    access: Access,
    precondition: &Precondition,
    new: Uuid,
    new_origin: Option<Uuid>,
    update: impl Fn(&Image) -> ApiResult<Image>,
) -> ApiResult<Image> {
    let both = [access.uuid, new];
    let _locks = app.locks.lock_all(both).await?;
    let _changing = app.changes.lock_all(both.into_iter().chain(new_origin)).await?;
    for _ in 0..ATTEMPTS {
        let Stored { image, etag } = owned(app, access).await?;
        precondition.check(&image)?;
        let renamed = update(&image)?.renamed_from(image.uuid()).map_err(ApiError::validation)?;
        refuse_immovable(&image)?;
        refuse_dependents(app, image.uuid(), access.account).await?;
        let origin = find_new_origin(app, &image, &renamed).await?;
        if app.db.get(new).await?.is_some() {
            return Err(ApiError::image_exists(new));
        }
        let (staged, renamed) = link_files(app, &image, renamed).await?;
        let versions = [(&renamed, Version::Current), (&image, Version::Last)];
        let written = app.db.rename(&renamed, image.uuid(), &etag, origin.as_ref());
        match archived(app, &versions, written).await? {
            Ok(()) => {
                app.uploads.image_gone(image.uuid());
                delete_files(app, &image).await;
                settle_files(app, &renamed, staged).await;
                return Ok(renamed);
            }
            Err(DbError::Conflict) => {}
            Err(error @ DbError::OutcomeUnknown(_)) => {
                staged.into_iter().for_each(|(_, staged)| staged.leave());
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict.into())
}

fn refuse_immovable(image: &Image) -> ApiResult<()> {
    match image.files() {
        [] => {
            let problem =
                FieldError::invalid("uuid").because("cannot be changed before the image has a file");
            Err(ApiError::validation(vec![problem]))
        }
        [_] => Ok(()),
        _ => {
            let message = "the uuid of an image with several files cannot be changed";
            Err(ApiError::new(Code::NotImplemented, message))
        }
    }
}

/// Makes the files of `image` those of `renamed`, too, and lets its record say where they are.
async fn link_files(
    app: &App,
    image: &Image,
    mut renamed: Image,
) -> ApiResult<(Vec<(Asset, Staged)>, Image)> {
    let mut linked = Vec::new();
    for file in locations(image) {
        let (staged, object) = app.storage.link(&file, renamed.uuid()).await?;
        linked.push((file.asset, staged));
        renamed = stored_in(&renamed, file.asset, file.stor, object.as_ref())?;
    }
    Ok((linked, renamed))
}

async fn settle_files(app: &App, renamed: &Image, linked: Vec<(Asset, Staged)>) {
    for (asset, staged) in linked {
        settle_named(renamed.uuid(), staged).await;
        settle_name(app, renamed, asset).await;
    }
}
