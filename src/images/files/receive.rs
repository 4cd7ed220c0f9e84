// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Receives the bytes that a caller uploads for an image.

use bytes::Bytes;
use futures_util::Stream;

use crate::images::{ApiError, ApiResult, App, Code};
use crate::storage::{Asset, Digests, Expected, ReceiveError, Target, Upload};

/// Most bytes of an image file: 20 GiB.
pub(in crate::images) const MAX_FILE_SIZE: u64 = 20 << 30;

/// Most bytes of an icon: 128 KiB.
const MAX_ICON_SIZE: u64 = 128 << 10;

/// What the sender says about the bytes before they arrive. Bytes that differ are rejected.
#[derive(Debug, Clone, Default)]
pub struct DeclaredContent {
    /// Length in bytes. An upload that is longer is cut off.
    pub length: Option<u64>,
    /// SHA-1 in lower-case hex.
    pub sha1: Option<String>,
    /// MD5 in Base64, as in `Content-MD5`.
    pub md5: Option<String>,
}

/// How the rules for image files and for icons differ.
struct Kind {
    a: &'static str,
    the: &'static str,
    max_size: u64,
    /// The code for bytes that differ from what was announced. For a file it is `Download`, even for an upload: the clients of
    /// 4.13.1 know it.
    mismatch: Code,
}

/// Receives bytes for an image, and compares them with what was announced. An upload that fails leaves nothing behind. Errors
/// of the body become errors of the operation through `E`. A deletion of the image by this process ends the upload at once.
pub(super) async fn receive<S, E>(
    app: &App,
    target: Target,
    declared: &DeclaredContent,
    body: S,
) -> ApiResult<Upload>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<ApiError>,
{
    let kind = Kind::of(target.asset);
    let limit = declared.length.unwrap_or(kind.max_size);
    if limit > kind.max_size {
        return Err(kind.too_large());
    }
    let expected = Expected { length: declared.length, limit, digests: None };
    let received =
        async { app.storage.receive(target, expected, body).await.map_err(|error| kind.refused(error)) };
    let upload = app.uploads.unless_deleted(target.uuid, received).await?;
    if let Asset::File(_) = target.asset {
        app.metrics.file_bytes_in(upload.digests.size);
    }
    kind.verify(declared, &upload.digests)?;
    Ok(upload)
}

impl Kind {
    fn of(asset: Asset) -> Kind {
        match asset {
            Asset::File(_) => {
                Kind { a: "a file", the: "the file", max_size: MAX_FILE_SIZE, mismatch: Code::Download }
            }
            Asset::Icon => {
                Kind { a: "an icon", the: "the icon", max_size: MAX_ICON_SIZE, mismatch: Code::Upload }
            }
        }
    }

    fn too_large(&self) -> ApiError {
        let message = format!("{} may have at most {} bytes", self.a, self.max_size);
        ApiError::new(Code::Upload, message)
    }

    fn refused<E: Into<ApiError>>(&self, error: ReceiveError<E>) -> ApiError {
        match error {
            ReceiveError::Body(error) => error.into(),
            ReceiveError::TooLarge { limit } if limit < self.max_size => {
                ApiError::new(self.mismatch, format!("more than the {limit} bytes announced came"))
            }
            ReceiveError::TooLarge { .. } => self.too_large(),
            ReceiveError::Storage(error) => error.into(),
        }
    }

    fn verify(&self, declared: &DeclaredContent, digests: &Digests) -> ApiResult<()> {
        let mismatch = |message| Err(ApiError::new(self.mismatch, message));
        if digests.size == 0 {
            return mismatch(format!("{} is empty", self.the));
        }
        if let Some(length) = declared.length.filter(|length| *length != digests.size) {
            return mismatch(format!("{length} bytes were announced and {} came", digests.size));
        }
        if let Some(sha1) = declared.sha1.as_ref().filter(|sha1| **sha1 != digests.sha1) {
            return mismatch(format!("the SHA-1 is {}, not {sha1:?}", digests.sha1));
        }
        if let Some(md5) = declared.md5.as_ref().filter(|md5| **md5 != digests.md5) {
            let message = format!("the Content-MD5 of the bytes is {}, not {md5:?}", digests.md5);
            return Err(ApiError::new(Code::BadDigest, message));
        }
        Ok(())
    }
}
