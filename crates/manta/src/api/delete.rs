// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{Method, header};

use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

impl Client {
    /// Removes an object, only if it is the one of this etag where one is given; or an empty directory. Tried again: if
    /// after an attempt whose outcome is not known it is missing, or another one is there, it was removed.
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

/// A condition is checked before anything else: it fails also if there is nothing.
fn is_gone(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::ResourceNotFound | ErrorCode::PreconditionFailed))
}
