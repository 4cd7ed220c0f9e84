// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
use super::reading::{OpenedFile, RecordedFile, read_recorded};
use crate::images::{Access, ApiError, ApiResult, App};
use crate::manifest::{ImageFile, Uuid, View};
use crate::storage::{Location, Part, StorageError, StoredFile};

/// GetImageFile: opens file `index` of `image`, which the caller has looked up; starts over if the file was moved or replaced
/// meanwhile. `plan` maps the file's entry to the part to read, and to whatever else the caller derives from the entry.
pub async fn get_file<P>(
    app: &App,
    access: Access,
    image: &View,
    index: usize,
    plan: impl Fn(&ImageFile) -> ApiResult<(Part, P)>,
) -> ApiResult<OpenedFile<ImageFile, P>> {
    // An image can get another file only before its activation. Its file can be moved at any time.
    let may_change = !image.activated();
    let plan = &plan;
    read_file(app, access, image, index, may_change, |RecordedFile { entry, location }| async move {
        let (part, plan) = plan(&entry)?;
        Ok(OpenedFile { file: open(app, &location, part).await?, entry, plan })
    })
    .await
}

/// Reads file `index` of `image` with `read`. [`read_recorded`] explains `may_change`.
pub(in crate::images) async fn read_file<T, F>(
    app: &App,
    access: Access,
    image: &View,
    index: usize,
    may_change: bool,
    read: impl Fn(RecordedFile<ImageFile>) -> F,
) -> ApiResult<T>
where
    F: Future<Output = ApiResult<T>>,
{
    let first = file_of(access.uuid, image.files(), index)?;
    let find = |image: &crate::manifest::Image| file_of(access.uuid, image.files(), index);
    read_recorded(app, access, first, find, may_change, read).await
}

/// Opens a file, and rejects a file on disk that is not the one in the manifest: somebody may have changed it by hand, or the
/// manifest's file may be lost. A record of 4.13.1 may have a size that is too small for its own file. Then the SHA-1 decides,
/// and clients get as many bytes as the record says.
async fn open(app: &App, location: &Location, part: Part) -> Result<StoredFile, StorageError> {
    let file = app.storage.open(location, part.clone()).await?;
    match &file {
        StoredFile::Local(file) if file.metadata()?.len() != location.size => {
            app.storage.open_verified(location, part).await
        }
        _ => Ok(file),
    }
}

fn file_of(uuid: Uuid, files: &[ImageFile], index: usize) -> ApiResult<RecordedFile<ImageFile>> {
    let entry = files.get(index).ok_or_else(|| ApiError::no_file(uuid, index))?;
    Ok(RecordedFile { entry: entry.clone(), location: Location::of_file(uuid, index, entry) })
}
