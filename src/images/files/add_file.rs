// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::heartbeat::with_heartbeat;
use super::publish::{publish, target};
use super::receive::{DeclaredContent, receive};
use crate::images::{Access, ApiError, ApiResult, App, Code, now, run_to_completion};
use crate::manifest::{Compression, Image, ImageFile, Stor, Uuid};
use crate::storage::{Asset, Target, Upload};

/// What the caller of AddImageFile says about the file.
#[derive(Debug, Clone)]
pub struct FileUpload {
    /// How the file is compressed. Recorded, not verified, as in 4.13.1.
    pub compression: Compression,
    /// Expected length and digests.
    pub declared: DeclaredContent,
    /// Recorded verbatim.
    pub dataset_guid: Option<String>,
    /// The storage that an operator asks for.
    pub storage: Option<Stor>,
    /// The job that uploads the file, if the uploader is a job that names itself.
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

/// AddImageFile: receives, verifies and stores the file of `image`, which is not activated, and replaces an earlier file. The
/// caller has looked the image up.
///
/// Nothing is visible before everything is durable, and an upload that fails leaves nothing behind. Errors of the body become
/// errors of the operation through `E`. A deletion of the image by this process ends the upload at once; a deletion by another
/// process ends it when all bytes have been received.
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
    let received = receive(app, target, &upload.declared, body);
    let received = with_heartbeat(app, access.uuid, received).await?;
    let job = upload.job;
    let file = entry(&received, target, upload);
    let app = Arc::clone(app);
    run_to_completion(async move {
        publish(&app, access, target.asset, received, |image| with_file(image, &file, job)).await
    })
    .await
}

fn with_file(image: &Image, file: &ImageFile, job: Option<Uuid>) -> ApiResult<Image> {
    if image.activated() {
        let message = format!("image {} was activated meanwhile", image.uuid());
        return Err(ApiError::new(Code::ImageAlreadyActivated, message));
    }
    // An image of a job belongs to the job no longer when somebody else uploads its file.
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
