// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads a file of an image that other requests or processes may move, replace or delete meanwhile.

use crate::images::record::lookup::current;
use crate::images::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{Image, ImageFile, Uuid};
use crate::storage::{Digests, Location, StoredFile};

/// How often a file is looked up again because the record names another one by then.
const ATTEMPTS: usize = 5;

/// A file as a record names it.
#[derive(Debug, Clone)]
pub(in crate::images) struct RecordedFile<E> {
    /// What the record says.
    pub(in crate::images) entry: E,
    /// Where the file is.
    pub(in crate::images) location: Location,
}

/// An open file, with its entry in the record.
pub struct OpenedFile<E, P> {
    /// What the record says.
    pub entry: E,
    /// The bytes.
    pub file: StoredFile,
    /// What the caller made of the entry before the file was opened.
    pub plan: P,
}

/// Reads a file where the record names it, first as the caller knows the record. If the file is missing or damaged and the
/// record meanwhile names another one, it reads that one. So the reader gets the right bytes, or the 404 of a deleted image,
/// even if the file was moved, replaced or deleted meanwhile.
///
/// Pass `may_change` if `read` itself cannot tell whether it has got the bytes that the record means. The result then counts
/// only if the record still names the same file after the read.
pub(in crate::images) async fn read_recorded<E: Clone, T, F>(
    app: &App,
    access: Access,
    mut named: RecordedFile<E>,
    find: impl Fn(&Image) -> ApiResult<RecordedFile<E>>,
    may_change: bool,
    read: impl Fn(RecordedFile<E>) -> F,
) -> ApiResult<T>
where
    F: Future<Output = ApiResult<T>>,
{
    for _ in 0..ATTEMPTS {
        let done = read(named.clone()).await;
        let is_settled = match &done {
            Ok(_) => !may_change,
            Err(error) => !error.is_about_a_stored_file(),
        };
        if is_settled {
            return done;
        }
        let now = find(&current(app, access).await?.image)?;
        if now.location == named.location {
            return done;
        }
        named = now;
    }
    Err(being_replaced())
}

/// 503 for a file that is replaced again and again.
pub(in crate::images) fn being_replaced() -> ApiError {
    ApiError::new(Code::ServiceUnavailableError, "the file is being replaced")
}

/// Verifies the digests of a file that was copied: a damaged file must not get a copy that looks intact. A record without
/// `contentMD5` comes from a time when files were not verified; 4.13.1 copies such a file, and so does this server.
pub(in crate::images) fn verify(uuid: Uuid, digests: &Digests, file: &ImageFile) -> ApiResult<()> {
    let same =
        |expected: &Option<String>, actual: &str| expected.as_deref().is_none_or(|text| text == actual);
    if digests.size == file.size
        && digests.sha1 == file.sha1
        && same(&file.content_md5, &digests.md5)
        && same(&file.sha256, &digests.sha256)
    {
        return Ok(());
    }
    if file.content_md5.is_none() {
        tracing::warn!(%uuid, "a file was cloned that is not what its manifest says");
        return Ok(());
    }
    Err(ApiError::new(Code::InternalError, "the stored file is not what its manifest says"))
}
