// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::images::{ApiError, ApiResult, Code};
use crate::storage::Digests;

/// What is said about bytes before they come. They have to be so.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    /// Length in bytes. More than that is not received.
    pub length: Option<u64>,
    /// SHA-1 in lower-case hex.
    pub sha1: Option<String>,
    /// MD5 in Base64, of a `Content-MD5`.
    pub md5: Option<String>,
}

impl Announced {
    /// Compares the bytes that came. `code` is what a client gets for another length or SHA-1.
    pub(in crate::images) fn verify(&self, digests: &Digests, code: Code) -> ApiResult<()> {
        if let Some(length) = self.length.filter(|length| *length != digests.size) {
            let message = format!("{length} bytes were announced and {} came", digests.size);
            return Err(ApiError::new(code, message));
        }
        if let Some(sha1) = self.sha1.as_ref().filter(|sha1| **sha1 != digests.sha1) {
            return Err(ApiError::new(code, format!("the SHA-1 is {}, not {sha1:?}", digests.sha1)));
        }
        if let Some(md5) = self.md5.as_ref().filter(|md5| **md5 != digests.md5) {
            let message = format!("the Content-MD5 of the bytes is {}, not {md5:?}", digests.md5);
            return Err(ApiError::new(Code::BadDigest, message));
        }
        Ok(())
    }
}
