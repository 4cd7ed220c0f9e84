// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::publish::publish;
use super::sign_of_life::with_signs_of_life;
use crate::images::{Access, Announced, ApiError, ApiResult, App, Code, now, to_the_end};
use crate::manifest::{Compression, Image, ImageFile, Uuid};
use crate::storage::{Asset, Digests, ReceiveError, Received, StorageError, Target};

/// Most bytes of an image file: 20 GiB.
pub(in crate::images) const MAX_FILE_SIZE: u64 = 20 << 30;

/// What the caller of AddImageFile says about the bytes.
#[derive(Debug, Clone)]
pub struct FileUpload {
    /// How the file is compressed. Recorded, not verified, as in 4.13.1.
    pub compression: Compression,
    /// Length and digests.
    pub announced: Announced,
    /// Recorded verbatim.
    pub dataset_guid: Option<String>,
    /// Where the bytes are to go.
    pub target: Target,
    /// The job that gives the image its file, if it is one that says so.
    pub job: Option<Uuid>,
}

/// 422 `ImageFilesImmutable` for an activated image.
pub fn check_unactivated(image: &Image) -> ApiResult<()> {
    if image.activated() {
        let message = format!("image {} is activated: its files are immutable", image.uuid());
        return Err(ApiError::new(Code::ImageFilesImmutable, message));
    }
    Ok(())
}

/// Receives, verifies and stores the file of an image that is not activated, in the place of an earlier one.
///
/// Nothing is visible before everything is durable, and nothing remains of what fails. Errors of the body become
/// errors of the operation through `E`. A deletion of the image by this process ends it at once, one by another
/// process when all bytes have come.
pub async fn add_file<S, E>(app: &Arc<App>, access: Access, upload: FileUpload, body: S) -> ApiResult<Image>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    let length = upload.announced.length;
    let limit = length.unwrap_or(MAX_FILE_SIZE);
    if limit > MAX_FILE_SIZE {
        return Err(too_large());
    }
    let receive = async { app.storage.receive(upload.target, length, limit, body).await.map_err(refused) };
    let receive = app.uploads.while_there(access.uuid, receive);
    let received = with_signs_of_life(app, access.uuid, receive).await?;
    app.metrics.file_bytes_in(received.digests.size);
    verify(&received.digests, &upload)?;
    let job = upload.job;
    let file = entry(&received, upload);
    let app = Arc::clone(app);
    to_the_end(async move {
        publish(&app, access, Asset::File(0), received, |image| with_file(image, &file, job)).await
    })
    .await
}

fn with_file(image: &Image, file: &ImageFile, job: Option<Uuid>) -> ApiResult<Image> {
    if image.activated() {
        let message = format!("image {} was activated meanwhile", image.uuid());
        return Err(ApiError::new(Code::ImageAlreadyActivated, message));
    }
    // An image that somebody takes over from a job is theirs.
    let job = image.job().filter(|of| Some(*of) == job);
    image.with_file(file).and_then(|image| image.of_job(job)).map_err(ApiError::validation)
}

fn verify(digests: &Digests, upload: &FileUpload) -> ApiResult<()> {
    // The code is `Download` for an upload, too: 4.13.1's clients know it.
    if digests.size == 0 {
        return Err(ApiError::new(Code::Download, "the file is empty"));
    }
    upload.announced.verify(digests, Code::Download)
}

fn entry(received: &Received, upload: FileUpload) -> ImageFile {
    let digests = &received.digests;
    ImageFile {
        sha1: digests.sha1.clone(),
        size: digests.size,
        compression: upload.compression,
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: upload.target.stor,
        dataset_guid: upload.dataset_guid,
        sha256: Some(digests.sha256.clone()),
        object: received.object(),
    }
}

fn too_large() -> ApiError {
    ApiError::new(Code::Upload, format!("a file may have at most {MAX_FILE_SIZE} bytes"))
}

fn refused<E: Into<ApiError>>(error: ReceiveError<E>) -> ApiError {
    match error {
        ReceiveError::Body(error) => error.into(),
        ReceiveError::TooLarge { limit } if limit < MAX_FILE_SIZE => {
            ApiError::new(Code::Download, format!("more than the {limit} bytes announced came"))
        }
        ReceiveError::TooLarge { .. } => too_large(),
        ReceiveError::Storage(error) => StorageError::into(error),
    }
}
