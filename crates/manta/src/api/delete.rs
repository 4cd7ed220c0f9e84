// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{Method, header};

use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

impl Client {
    /// Removes an object or an empty directory. If `etag` is given, an object is removed only if it has this etag. The request is
    /// retried. If the outcome of an attempt is unknown and the next one finds no object, or one with another etag, the call
    /// succeeds.
    ///
    /// # Errors
    /// `ResourceNotFound`, `PreconditionFailed`, `DirectoryNotEmpty`.
    pub async fn delete(&self, path: &Path, etag: Option<&str>) -> Result<(), Error> {
        let mut request = Request::new(Method::DELETE, path, "application/json");
        request.set(header::CONTENT_LENGTH, 0);
        if let Some(etag) = etag {
            request.set_text(header::IF_MATCH, etag, "etag")?;
        }
        self.directories().forget(path);
        let (mut retry, mut perhaps_done) = (self.retry(), false);
        loop {
            match self.once(&request).await {
                Ok(_) => return Ok(()),
                Err(error) if perhaps_done && is_gone(&error) => return Ok(()),
                Err(error) => {
                    perhaps_done |= error.is_outcome_unknown();
                    retry.pause(error).await?;
                }
            }
        }
    }
}

/// Reports whether the object was removed by an earlier attempt. A precondition is checked first, so it fails also for a missing
/// object.
fn is_gone(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::ResourceNotFound | ErrorCode::PreconditionFailed))
}
