use http::{Method, header};

use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;

impl Client {
    /// Removes an object, only if it is the one of this etag where one is given; or an empty directory. Tried again:
    /// if it is missing after an attempt whose outcome is not known, it was removed by that.
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
                Err(error) if perhaps_done && error.is_not_found() => return Ok(()),
                Err(error) => {
                    perhaps_done |= error.is_outcome_unknown();
                    retry.pause(error).await?;
                }
            }
        }
    }
}
