use std::fs::File;
use std::io;

use super::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{ImageFile, Stor, Uuid, View};

/// How often a file is looked up again because it was replaced between the manifest and the file.
const ATTEMPTS: usize = 5;

/// A file of an image, open, with what the manifest says about it.
#[derive(Debug)]
pub struct OpenFile {
    /// The manifest's entry.
    pub entry: ImageFile,
    /// The bytes.
    pub file: File,
}

/// Refuses a file that cannot be the one the manifest means: what is on disk may have been changed by hand, or the
/// manifest's own file may be lost.
fn complete(file: File, expected: u64) -> ApiResult<File> {
    let damaged = || ApiError::new(Code::InternalError, "the stored file is not what its manifest says");
    let size = file.metadata().map_err(|error| damaged().because(error))?.len();
    if size == expected {
        return Ok(file);
    }
    Err(damaged().because(io::Error::other(format!("{size} bytes, not {expected}"))))
}

/// Opens file `index` of `image`, which the caller has looked up.
pub async fn get_file(app: &App, access: Access, image: &View, index: usize) -> ApiResult<OpenFile> {
    let mut entry = file_entry(access.uuid, image.files(), index)?.clone();
    for _ in 0..ATTEMPTS {
        if entry.stor != Stor::Local {
            return Err(ApiError::not_stored_here("file", entry.stor));
        }
        let opened = app.storage.open(access.uuid, index, &entry.sha1).await;
        if image.activated() {
            let file = complete(opened?, entry.size)?;
            return Ok(OpenFile { entry, file });
        }
        // Only before its activation can an image get another file. What was opened is what the manifest means if it
        // still says so afterwards.
        let current = current_files(app, access).await?;
        let now = file_entry(access.uuid, &current, index)?;
        if now.sha1 == entry.sha1 {
            let file = complete(opened?, entry.size)?;
            return Ok(OpenFile { entry, file });
        }
        entry = now.clone();
    }
    Err(ApiError::new(Code::ServiceUnavailableError, "the file is being replaced"))
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
