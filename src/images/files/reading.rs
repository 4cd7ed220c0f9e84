// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reading a file of an image that somebody else may move, replace or delete meanwhile.

use crate::images::record::lookup::current;
use crate::images::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::{Image, ImageFile, Uuid};
use crate::storage::{Digests, Location, StoredFile};

/// How often a file is looked up again because the record has named another one meanwhile.
const ATTEMPTS: usize = 5;

/// A file as a record names it.
#[derive(Debug, Clone)]
pub(in crate::images) struct Named<E> {
    /// What the record says.
    pub(in crate::images) entry: E,
    /// Where that is.
    pub(in crate::images) location: Location,
}

/// A file as a record names it, which is being read.
pub struct Opened<E, P> {
    /// What the record says.
    pub entry: E,
    /// The bytes.
    pub file: StoredFile,
    /// What the caller made of the entry before the file was opened.
    pub plan: P,
}

/// Reads a file where the record names it: first as the caller knows it, and again whenever it turns out not to be there, or
/// to be another one, while the record names another one by now. So who reads gets the right bytes, or the 404 of an image
/// that is gone, however the file was moved, replaced or deleted in between.
///
/// `may_change` where `read` cannot tell by itself that it has got the bytes that the record means: then they count only if
/// the record still says so afterwards.
pub(in crate::images) async fn read_named<E: Clone, T, F>(
    app: &App,
    access: Access,
    mut named: Named<E>,
    find: impl Fn(&Image) -> ApiResult<Named<E>>,
    may_change: bool,
    read: impl Fn(Named<E>) -> F,
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

/// 503 for a file in whose place others come all the time.
pub(in crate::images) fn being_replaced() -> ApiError {
    ApiError::new(Code::ServiceUnavailableError, "the file is being replaced")
}

/// Whether the bytes that were read are those that the manifest means: a copy must not outlive a damaged file as a good
/// one. A record without `contentMD5` comes from before files were compared with what is said of them; 4.13.1 copies
/// such a file, and so does this.
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
