// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use futures_util::StreamExt;

use super::add_file::{FileUpload, add_file};
use super::receive::{DeclaredContent, MAX_FILE_SIZE};
use crate::images::{Access, ApiError, ApiResult, App, Code, ImportOptions, import, with_transfer_limits};
use crate::import::{FetchError, FileUrl, RemoteFile, Source};
use crate::manifest::{Image, ImageFile, Stor, Uuid};

/// Fetches the file of an image from an https URL, then adds it as [`add_file`] does. The server's headers say length and MD5.
pub async fn add_file_from_url(
    app: &Arc<App>,
    access: Access,
    image: &Image,
    url: &FileUrl,
    upload: FileUpload,
) -> ApiResult<Image> {
    let file = async { app.fetcher.file(url).await.map_err(download_failed) };
    let file = app.uploads.unless_deleted(access.uuid, file).await?;
    // The header may name the encoding of this file, or be a wrong label of the file itself: only a digest can tell.
    if let (None, Some(encoding)) = (&upload.declared.sha1, file.encoding()) {
        let message =
            format!("cannot download the file: it is encoded as {encoding:?}, which was not asked for");
        return Err(ApiError::new(Code::Download, message));
    }
    let declared = DeclaredContent { length: file.length(), ..upload.declared };
    add_fetched(app, access, image, FileUpload { declared, ..upload }, file, download_failed).await
}

/// Fetches the file of an image from another IMGAPI, whose manifest says length and SHA-1, then adds it as [`add_file`] does.
pub async fn add_file_from_source(
    app: &Arc<App>,
    access: Access,
    image: &Image,
    source: &Source,
    request_id: &str,
    storage: Option<Stor>,
    job: Option<Uuid>,
) -> ApiResult<Image> {
    let imgapi = app.fetcher.imgapi(source, request_id);
    let manifest = async { imgapi.get_image(access.uuid).await.map_err(source_failed) };
    let manifest = app.uploads.unless_deleted(access.uuid, manifest).await?;
    let entry = manifest.get("files").and_then(|files| ImageFile::read(files.get(0)?));
    let entry = entry.ok_or_else(|| no_file(access.uuid))?;
    if entry.size > MAX_FILE_SIZE {
        let message =
            format!("a file may have at most {MAX_FILE_SIZE} bytes, and the source's has {}", entry.size);
        return Err(ApiError::new(Code::Download, message));
    }
    let file = async { imgapi.get_image_file(access.uuid).await.map_err(source_failed) };
    let file = app.uploads.unless_deleted(access.uuid, file).await?;
    let upload = FileUpload {
        compression: entry.compression,
        declared: DeclaredContent { length: Some(entry.size), sha1: Some(entry.sha1), md5: None },
        dataset_guid: entry.dataset_guid,
        storage,
        job,
    };
    add_fetched(app, access, image, upload, file, source_failed).await
}

/// Adds a file that another server has begun to send. It must have the MD5 that the server's headers say.
async fn add_fetched(
    app: &Arc<App>,
    access: Access,
    image: &Image,
    upload: FileUpload,
    file: RemoteFile,
    failed: fn(FetchError) -> ApiError,
) -> ApiResult<Image> {
    let declared = DeclaredContent { md5: file.md5().map_err(failed)?, ..upload.declared };
    let body = with_transfer_limits(app, file.into_stream()).map(|chunk| chunk.map_err(failed));
    add_file(app, access, image, FileUpload { declared, ..upload }, body).await
}

/// Fetches the manifest of an image from another IMGAPI, then imports it as [`import()`] does.
pub async fn import_from_source(
    app: &Arc<App>,
    uuid: Uuid,
    source: &Source,
    request_id: &str,
    options: ImportOptions,
) -> ApiResult<Image> {
    let manifest = app.fetcher.imgapi(source, request_id).get_image(uuid).await.map_err(source_failed)?;
    import(app, uuid, manifest, options).await
}

/// The error of 4.13.1 for every failure of a download from a URL.
fn download_failed(error: FetchError) -> ApiError {
    ApiError::new(Code::Download, format!("cannot download the file: {error}")).because(error)
}

/// The error of 4.13.1 for every failure of a download from another IMGAPI.
pub(in crate::images) fn source_failed(error: FetchError) -> ApiError {
    ApiError::new(Code::RemoteSourceError, format!("cannot import from the source: {error}")).because(error)
}

fn no_file(uuid: Uuid) -> ApiError {
    ApiError::new(Code::RemoteSourceError, format!("the source has no usable file of image {uuid}"))
}
