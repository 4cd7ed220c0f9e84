// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::delete::{delete_files, refuse_dependents};
use crate::db::{DbError, Stored};
use crate::images::archive::write::{CopySync, deletion, write_and_archive};
use crate::images::attempts::Attempts;
use crate::images::files::publish::{discard, ensure_final_name, settle_published};
use crate::images::record::locations::{locations, stored_in};
use crate::images::record::origin::find_new_origins;
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, owned};
use crate::manifest::{FieldError, Image, Stor, Uuid};
use crate::storage::{Asset, Location, Staged, StorageError, Target, Upload, Version};

/// Gives an unactivated image another UUID, together with the other changes of an update.
///
/// Its files get a second name for the new UUID, then one write replaces the record, then the first names are removed. The
/// record keeps the old UUID, so that after a crash the sweep can finish. In Manta the second name is a copy, which may take
/// long: it is made before anything is locked.
pub(in crate::images) async fn rename(
    app: &App,
    access: Access,
    precondition: &Precondition,
    new: Uuid,
    new_origin: Option<Uuid>,
    update: impl Fn(&Image) -> ApiResult<Image>,
) -> ApiResult<Image> {
    let request = Request { app, access, precondition, new, new_origin, update };
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        let Checked { image, .. } = request.checked().await?;
        let copies = match app.uploads.unless_deleted(access.uuid, copies(app, &image, new)).await {
            Ok(copies) => copies,
            Err(error) => {
                // Another process may have deleted the image meanwhile, or replaced its files.
                let current = request.checked().await?.image;
                if locations(&current) == locations(&image) {
                    return Err(error);
                }
                continue;
            }
        };
        let Some((renamed, assets)) = request.carry_out(copies).await? else { continue };
        for asset in assets {
            ensure_final_name(app, &renamed, asset).await;
        }
        return Ok(renamed);
    }
}

struct Request<'a, F> {
    app: &'a App,
    access: Access,
    precondition: &'a Precondition,
    new: Uuid,
    new_origin: Option<Uuid>,
    update: F,
}

/// The checked request.
struct Checked {
    /// The image before the change.
    image: Image,
    /// The version of its record.
    etag: String,
    /// The image after the change.
    renamed: Image,
    /// The new origin of the image, and all origins above it.
    origins: Vec<Stored>,
}

/// A file under its second name.
type Linked = (Asset, Staged);

impl<F: Fn(&Image) -> ApiResult<Image>> Request<'_, F> {
    /// Checks the request, and finds out what it changes.
    async fn checked(&self) -> ApiResult<Checked> {
        let (app, access) = (self.app, self.access);
        let Stored { image, etag } = owned(app, access).await?;
        self.precondition.check(&image)?;
        let renamed = (self.update)(&image)?.renamed_from(image.uuid()).map_err(ApiError::validation)?;
        refuse_immovable(&image)?;
        refuse_dependents(app, image.uuid(), access.account).await?;
        let origins = find_new_origins(app, &image, &renamed).await?;
        match app.db.get(self.new).await? {
            Some(_) => Err(ApiError::image_exists(self.new)),
            None => Ok(Checked { image, etag, renamed, origins }),
        }
    }

    /// Carries out the request under the locks that keep other requests of this process away from both UUIDs. Returns `None` if
    /// it has to start over, because another process has changed something.
    async fn carry_out(&self, copies: Vec<Copied>) -> ApiResult<Option<(Image, Vec<Asset>)>> {
        let (app, old) = (self.app, self.access.uuid);
        let both = [old, self.new];
        let _locks = app.locks.lock_all(both).await?;
        let changing = app.changes.lock_all(both.into_iter().chain(self.new_origin)).await?;
        let checked = self.checked().await?;
        let mut linked = Vec::new();
        let written = match link_files(app, &checked, copies, &mut linked).await {
            Ok(Some(renamed)) => self.write(&checked, renamed, &mut linked).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        drop(changing);
        let Ok(Some(renamed)) = written else {
            for (_, staged) in linked {
                discard(app, self.new, staged).await;
            }
            return written.map(|_| None);
        };
        let mut assets = Vec::new();
        for (asset, staged) in linked {
            settle_published(self.new, staged).await;
            assets.push(asset);
        }
        Ok(Some((renamed, assets)))
    }

    /// Replaces the old record by the new one, and deletes the first names. If the outcome of the write is unknown, both names
    /// stay.
    async fn write(
        &self,
        Checked { image, etag, origins, .. }: &Checked,
        renamed: Image,
        linked: &mut Vec<Linked>,
    ) -> ApiResult<Option<Image>> {
        let (app, old) = (self.app, image.uuid());
        let files = app.storage.prepare_deletion(old, &locations(image)).await;
        let versions = [(&renamed, Version::Current), (image, Version::Last)];
        let deleted = deletion(app, image, etag);
        let written = app.db.rename(&renamed, &deleted, origins);
        match write_and_archive(app, &versions, CopySync::BeforeWrite, written).await? {
            Ok(()) => {
                app.uploads.cancel(old);
                delete_files(app, old, files).await;
                Ok(Some(renamed))
            }
            Err(DbError::Conflict) => Ok(None),
            Err(error) => {
                if matches!(error, DbError::OutcomeUnknown(_)) {
                    linked.drain(..).for_each(|(_, staged)| staged.leave());
                }
                Err(error.into())
            }
        }
    }
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

/// A file in Manta, and its copy for another image.
type Copied = (Location, Upload);

/// Copies the files that an image has in Manta. Nobody sees the copies before they are staged.
async fn copies(app: &App, image: &Image, new: Uuid) -> ApiResult<Vec<Copied>> {
    let mut copies = Vec::new();
    for file in locations(image).into_iter().filter(|file| file.stor == Stor::Manta) {
        let target = Target { uuid: new, asset: file.asset, stor: Stor::Manta, replaces: false };
        let upload = app.storage.copy(&file, target).await?;
        if upload.digests.sha1 != file.sha1 {
            return Err(StorageError::Damaged(format!("{}/{}", file.uuid, file.asset)).into());
        }
        copies.push((file, upload));
    }
    Ok(copies)
}

/// Gives the files of `image` second names as files of `renamed`, and returns its record with their locations. Returns `None`
/// if a file is not the one that was copied.
async fn link_files(
    app: &App,
    Checked { image, renamed, .. }: &Checked,
    mut copies: Vec<Copied>,
    linked: &mut Vec<Linked>,
) -> ApiResult<Option<Image>> {
    let mut renamed = renamed.clone();
    for file in locations(image) {
        let (staged, object) = match file.stor {
            Stor::Local => (app.storage.link(&file, renamed.uuid()).await?, None),
            Stor::Manta => {
                let Some(at) = copies.iter().position(|(from, _)| *from == file) else { return Ok(None) };
                let (_, upload) = copies.swap_remove(at);
                let object = upload.object();
                (upload.stage().await?, object)
            }
        };
        linked.push((file.asset, staged));
        renamed = stored_in(&renamed, file.asset, file.stor, object.as_ref())?;
    }
    Ok(Some(renamed))
}
