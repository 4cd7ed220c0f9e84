// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::reading::{Named, read_named};
use crate::images::{Access, ApiError, ApiResult, App};
use crate::manifest::{ImageFile, Uuid, View};
use crate::storage::{Location, StorageError, StoredFile};

/// A file of an image that can be read, with what the manifest says about it.
#[derive(Debug)]
pub struct OpenFile {
    /// The manifest's entry.
    pub entry: ImageFile,
    /// The bytes.
    pub file: StoredFile,
}

/// Opens file `index` of `image`, which the caller has looked up, and has it read. With Manta only `read` finds out whether
/// it is there; it is called again if the file was moved, or replaced, meanwhile.
pub async fn get_file<T, F>(
    app: &App,
    access: Access,
    image: &View,
    index: usize,
    read: impl Fn(OpenFile) -> F,
) -> ApiResult<T>
where
    F: Future<Output = ApiResult<T>>,
{
    // Only before its activation can an image get another file; another place at any time.
    read_file(app, access, image, index, !image.activated(), read).await
}

/// The same; `may_change` as [`read_named`] has it.
pub(in crate::images) async fn read_file<T, F>(
    app: &App,
    access: Access,
    image: &View,
    index: usize,
    may_change: bool,
    read: impl Fn(OpenFile) -> F,
) -> ApiResult<T>
where
    F: Future<Output = ApiResult<T>>,
{
    let first = file_of(access.uuid, image.files(), index)?;
    let find = |image: &crate::manifest::Image| file_of(access.uuid, image.files(), index);
    let read = &read;
    read_named(app, access, first, find, may_change, |named| async move {
        let file = open(app, &named.location).await?;
        read(OpenFile { entry: named.entry, file }).await
    })
    .await
}

/// Refuses a file on disk that cannot be the one the manifest means: it may have been changed by hand, or the manifest's own
/// file may be lost. A record of 4.13.1 may have a size that is too small for its own file: the SHA-1 tells, and clients get as many
/// bytes as the record says. An object is compared when it is read.
async fn open(app: &App, location: &Location) -> Result<StoredFile, StorageError> {
    let file = app.storage.open(location).await?;
    match &file {
        StoredFile::Local(_) if file.check(location).await.is_err() => {
            app.storage.open_verified(location).await
        }
        _ => Ok(file),
    }
}

fn file_of(uuid: Uuid, files: &[ImageFile], index: usize) -> ApiResult<Named<ImageFile>> {
    let entry = files.get(index).ok_or_else(|| ApiError::no_file(uuid, index))?;
    Ok(Named { entry: entry.clone(), location: Location::of_file(uuid, index, entry) })
}
