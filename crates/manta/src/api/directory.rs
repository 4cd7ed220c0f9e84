// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{HeaderValue, Method, header};

use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

impl Client {
    /// Creates one directory. The request is retried. It is not an error if the directory exists.
    ///
    /// If an *object* of that name exists, Manta replaces it without a warning, because it only checks the parent.
    ///
    /// # Errors
    /// `DirectoryDoesNotExist` or `ParentNotDirectory`; both are about the parent.
    pub async fn put_directory(&self, path: &Path) -> Result<(), Error> {
        let mut request = Request::new(Method::PUT, path, "application/json");
        request.set(header::CONTENT_TYPE, HeaderValue::from_static("application/json; type=directory"));
        request.set(header::CONTENT_LENGTH, 0);
        match self.repeated(&request).await {
            Ok(_) => {
                self.directories().insert(path.clone());
                Ok(())
            }
            Err(error) => Err(self.notice(path, error)),
        }
    }

    /// Creates a directory and its ancestors, except those that this client has seen. Like [`Client::put_directory`], it replaces
    /// objects.
    ///
    /// # Errors
    /// The errors of [`Client::put_directory`].
    pub async fn mkdirp(&self, path: &Path) -> Result<(), Error> {
        match self.make_unknown(path).await {
            // A known directory no longer exists. It is forgotten by now, so the second attempt creates it.
            Err(error) if error.code() == Some(ErrorCode::DirectoryDoesNotExist) => {
                self.make_unknown(path).await
            }
            result => result,
        }
    }

    async fn make_unknown(&self, path: &Path) -> Result<(), Error> {
        let unknown = path.lineage().take_while(|directory| !self.directories().contains(directory));
        let mut unknown: Vec<Path> = unknown.collect();
        while let Some(directory) = unknown.pop() {
            self.put_directory(&directory).await?;
        }
        Ok(())
    }

    /// Forgets the directories that may be missing according to an error about `path`.
    pub(super) fn notice(&self, path: &Path, error: Error) -> Error {
        if let (Some(ErrorCode::DirectoryDoesNotExist), Some(parent)) = (error.code(), path.parent()) {
            self.directories().forget_lineage(&parent);
        }
        error
    }
}
