// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::publish::{publish, target};
use super::receive::{Announced, receive};
use super::sign_of_life::with_signs_of_life;
use crate::images::{Access, ApiError, ApiResult, App, Code, now, to_the_end};
use crate::manifest::{Compression, Image, ImageFile, Stor, Uuid};
use crate::storage::{Asset, Target, Upload};

/// What the caller of AddImageFile says about the bytes.
#[derive(Debug, Clone)]
pub struct FileUpload {
    /// How the file is compressed. Recorded, not verified, as in 4.13.1.
    pub compression: Compression,
    /// Length and digests.
    pub announced: Announced,
    /// Recorded verbatim.
    pub dataset_guid: Option<String>,
    /// The storage that an operator wishes for.
    pub storage: Option<Stor>,
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

/// Receives, verifies and stores the file of `image`, which is not activated, in the place of an earlier file. The caller has
/// looked the image up.
///
/// Nothing is visible before everything is durable, and nothing remains of what fails. Errors of the body become
/// errors of the operation through `E`. A deletion of the image by this process ends it at once, one by another
/// process when all bytes have come.
pub async fn add_file<S, E>(
    app: &Arc<App>,
    access: Access,
    image: &Image,
    upload: FileUpload,
    body: S,
) -> ApiResult<Image>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    let target = target(app, image, Asset::File(0), upload.storage);
    let received = receive(app, target, &upload.announced, body);
    let received = with_signs_of_life(app, access.uuid, received).await?;
    let job = upload.job;
    let file = entry(&received, target, upload);
    let app = Arc::clone(app);
    to_the_end(async move {
        publish(&app, access, target.asset, received, |image| with_file(image, &file, job)).await
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

fn entry(received: &Upload, target: Target, upload: FileUpload) -> ImageFile {
    let digests = &received.digests;
    ImageFile {
        sha1: digests.sha1.clone(),
        size: digests.size,
        compression: upload.compression,
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: target.stor,
        dataset_guid: upload.dataset_guid,
        sha256: Some(digests.sha256.clone()),
        object: received.object(),
    }
}
