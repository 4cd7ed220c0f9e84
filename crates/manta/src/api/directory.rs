// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{HeaderValue, Method, header};

use crate::client::{Client, Request};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

impl Client {
    /// Makes one directory. Tried again; it does not matter if it exists.
    ///
    /// An *object* of that name is replaced by the directory, without a word: Manta looks at the parent only.
    ///
    /// # Errors
    /// `DirectoryDoesNotExist` or `ParentNotDirectory`, of the parent.
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

    /// Makes a directory and those it is in, but for those that this client has seen. As [`Client::put_directory`] it
    /// replaces objects.
    ///
    /// # Errors
    /// As of [`Client::put_directory`].
    pub async fn mkdirp(&self, path: &Path) -> Result<(), Error> {
        match self.make_unknown(path).await {
            // One that was known is gone: now that it is forgotten, once more.
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

    /// Forgets what an error about `path` shows to be missing.
    pub(super) fn notice(&self, path: &Path, error: Error) -> Error {
        if let (Some(ErrorCode::DirectoryDoesNotExist), Some(parent)) = (error.code(), path.parent()) {
            self.directories().forget_lineage(&parent);
        }
        error
    }
}
