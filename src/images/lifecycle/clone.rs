// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::delete::delete_record_and_files;
use super::with_files::store_with_files;
use crate::images::files::reading::{RecordedFile, read_recorded, verify};
use crate::images::record::locations::stored_in;
use crate::images::record::lookup::current;
use crate::images::record::origin::{MAX_CHAIN, not_there, refuse_unactivated};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, now, run_to_completion};
use crate::manifest::clone::{CloneContext, clone_of};
use crate::manifest::{FieldCode, FieldError, Image, ImageFile, ImageType, Uuid};
use crate::storage::{Location, Target, Upload};
use crate::telemetry::err;

/// CloneImage: copies an image that is shared with the calling account, and its origins down to one of the operators or of
/// nobody. The copies belong to the account.
pub async fn clone_image(app: &Arc<App>, access: Access) -> ApiResult<Image> {
    let Some(account) = access.account else {
        return Err(ApiError::invalid_parameter(
            "account",
            FieldCode::Invalid,
            "must be the UUID of an account",
        ));
    };
    let app = Arc::clone(app);
    run_to_completion(async move {
        let image = current(&app, access).await?.image;
        check(&image, account)?;
        app.check_owner(account).await?;
        let chain = Chain::of(&app, image, account).await?;
        let mut clones = Vec::new();
        match chain.copy(&app, account, &mut clones).await {
            Ok(top) => Ok(top),
            Err(error) => {
                clean_up(&app, clones).await;
                Err(error)
            }
        }
    })
    .await
}

fn check(image: &Image, account: Uuid) -> ApiResult<()> {
    let uuid = image.uuid();
    let invalid =
        |field: &str, message: &str| ApiError::validation(vec![FieldError::invalid(field).because(message)]);
    if !image.activated() {
        return Err(invalid("active", "the image is not activated"));
    }
    if !image.acl().contains(&account) {
        let message = format!("image {uuid} is not shared with account {account}");
        return Err(ApiError::new(Code::ImageNotShared, message));
    }
    if image.image_type() == Some(ImageType::Docker) {
        return Err(invalid("type", "images of type docker cannot be cloned"));
    }
    Ok(())
}

/// The images to copy, the requested one first, and the shared origin of the last of them.
struct Chain {
    images: Vec<Image>,
    shared: Option<Uuid>,
}

impl Chain {
    /// Follows the origins to the first that belongs to the operators or to nobody.
    ///
    /// An owner who shares an image also shares the owner's other images that it is made of. Every other origin must be visible
    /// to the account itself, or it counts as missing.
    async fn of(app: &App, image: Image, account: Uuid) -> ApiResult<Chain> {
        let shared_owners = [Some(Uuid::NIL), app.config.admin_uuid];
        let sharer = image.owner();
        let mut next = image.origin();
        only_file(&image)?;
        let mut images = vec![image];
        while let Some(uuid) = next {
            let origin = app.db.get(uuid).await?.map(|stored| stored.image);
            let origin = origin.ok_or_else(|| not_there(uuid))?;
            let is_shared = shared_owners.contains(&Some(origin.owner()));
            if !is_shared && origin.owner() != sharer && !origin.is_visible_to(account) {
                return Err(not_there(uuid));
            }
            refuse_unactivated(&origin)?;
            if is_shared {
                break;
            }
            if images.len() == MAX_CHAIN {
                let message = format!("the image has more than {MAX_CHAIN} origins");
                return Err(ApiError::new(Code::InternalError, message));
            }
            only_file(&origin)?;
            next = origin.origin();
            images.push(origin);
        }
        Ok(Chain { images, shared: next })
    }

    /// Copies the images, the base first. Every copy that was perhaps made is put into `clones`, even if this fails.
    async fn copy(self, app: &App, account: Uuid, clones: &mut Vec<Uuid>) -> ApiResult<Image> {
        let mut origin = self.shared;
        for (index, source) in self.images.iter().enumerate().rev() {
            let context = CloneContext {
                uuid: Uuid::new_v4(),
                owner: account,
                origin,
                is_origin: index > 0,
                now: now(),
            };
            let clone = clone_of(source, &context)?;
            clones.push(clone.uuid());
            copy_one(app, source, &clone).await?;
            if index == 0 {
                return Ok(clone);
            }
            origin = Some(clone.uuid());
        }
        Err(ApiError::new(Code::InternalError, "there was nothing to clone"))
    }
}

/// Returns the one file of an image, if the image can be cloned.
fn only_file(image: &Image) -> ApiResult<&ImageFile> {
    let uuid = image.uuid();
    match image.files() {
        [file] => Ok(file),
        [] => Err(ApiError::new(Code::NoActivationNoFile, format!("image {uuid} has no file"))),
        _ => {
            let message = format!("image {uuid} has several files: such images cannot be cloned");
            Err(ApiError::new(Code::NotImplemented, message))
        }
    }
}

/// Copies the file first, then writes the record that names it, as an upload does. The copy stays in the file's storage.
async fn copy_one(app: &App, source: &Image, clone: &Image) -> ApiResult<()> {
    let (from, upload) = copy_file(app, source, clone.uuid()).await?;
    let clone = &stored_in(clone, from.asset, from.stor, upload.object().as_ref())?;
    store_with_files(app, clone, vec![upload]).await
}

/// Copies the file of `source`. It may be moved meanwhile, but must not be replaced.
async fn copy_file(app: &App, source: &Image, clone: Uuid) -> ApiResult<(Location, Upload)> {
    let (uuid, sha1) = (source.uuid(), &only_file(source)?.sha1);
    let find = |image: &Image| match only_file(image)? {
        file if file.sha1 == *sha1 => {
            Ok(RecordedFile { entry: file.clone(), location: Location::of_file(uuid, 0, file) })
        }
        _ => Err(ApiError::image_not_found(uuid)),
    };
    // The caller may see this image, or one that was made from it.
    let access = Access { uuid, account: None, channel: None };
    read_recorded(
        app,
        access,
        find(source)?,
        find,
        false,
        |RecordedFile { entry, location: from }| async move {
            let target = Target { uuid: clone, asset: from.asset, stor: from.stor, replaces: false };
            let upload = app.storage.copy(&from, target).await?;
            verify(uuid, &upload.digests, &entry)?;
            Ok((from, upload))
        },
    )
    .await
}

/// Deletes the copies, the top one first, because each is the origin of the next. A failure can only be logged.
async fn clean_up(app: &App, clones: Vec<Uuid>) {
    for uuid in clones.into_iter().rev() {
        let access = Access { uuid, account: None, channel: None };
        match delete_record_and_files(app, access, true, &Precondition::default()).await {
            Err(error) if error.code() != Code::ResourceNotFound => {
                tracing::error!(%uuid, err.json = %err(&error), "cannot delete a clone whose making failed");
            }
            _ => {}
        }
    }
}
