use super::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{ImageFile, Uuid, View};
use crate::storage::{Location, StorageError, StoredFile};

/// How often a file is looked up again because it was replaced between the manifest and the file.
const ATTEMPTS: usize = 5;

/// A file of an image that can be read, with what the manifest says about it.
#[derive(Debug)]
pub struct OpenFile {
    /// The manifest's entry.
    pub entry: ImageFile,
    /// The bytes.
    pub file: StoredFile,
}

/// Opens file `index` of `image`, which the caller has looked up.
pub async fn get_file(app: &App, access: Access, image: &View, index: usize) -> ApiResult<OpenFile> {
    let mut entry = file_entry(access.uuid, image.files(), index)?.clone();
    for _ in 0..ATTEMPTS {
        let location = Location::of_file(access.uuid, index, &entry);
        let opened = open(app, &location).await;
        if image.activated() && opened.is_ok() {
            return Ok(OpenFile { entry, file: opened? });
        }
        // Only before its activation can an image get another file; another place at any time. What was opened is what
        // the manifest means if it still says so afterwards.
        let current = current_files(app, access).await?;
        let now = file_entry(access.uuid, &current, index)?;
        if Location::of_file(access.uuid, index, now) == location {
            return Ok(OpenFile { entry, file: opened? });
        }
        entry = now.clone();
    }
    Err(ApiError::new(Code::ServiceUnavailableError, "the file is being replaced"))
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

/// The entries as the database has them now.
async fn current_files(app: &App, access: Access) -> ApiResult<Vec<ImageFile>> {
    let stored = app.db.get(access.uuid).await?;
    let visible =
        stored.filter(|stored| access.account.is_none_or(|account| stored.image.is_visible_to(account)));
    let stored = visible.ok_or_else(|| ApiError::image_not_found(access.uuid))?;
    Ok(stored.image.files().to_vec())
}

fn file_entry(uuid: Uuid, files: &[ImageFile], index: usize) -> ApiResult<&ImageFile> {
    files.get(index).ok_or_else(|| {
        let message = format!("image {uuid} has no file {index}");
        ApiError::new(Code::ResourceNotFound, message)
    })
}
