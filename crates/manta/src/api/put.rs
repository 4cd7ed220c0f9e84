// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use md5::{Digest, Md5};

use super::metadata::{Metadata, UserMetadata, digest, encode_md5};
use crate::client::{Answer, Client, Request};
use crate::error::Error;
use crate::path::Path;
use crate::server_error::ErrorCode;

/// An object to store.
#[derive(Debug, Clone, Default)]
pub struct NewObject {
    /// Content type. Default: `application/octet-stream`.
    pub content_type: Option<String>,
    /// Length in bytes. Without it, Manta reserves space for `max_length`.
    pub length: Option<u64>,
    /// Maximum length in bytes, if the length is unknown. Without both, Manta reserves space for 50 GiB.
    pub max_length: Option<u64>,
    /// MD5 of the content. Manta then rejects any other content.
    pub md5: Option<[u8; 16]>,
    /// Condition on the object that is at the path now.
    pub precondition: Precondition,
    /// Headers `m-*` to store with the object; the names are without `m-`.
    pub metadata: UserMetadata,
    /// Whether to create missing parent directories, as [`Client::mkdirp`] does.
    pub make_directories: bool,
}

/// The condition under which a path is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    #[default]
    Any,
    /// There is no object at the path.
    Absent,
    /// The object at the path has this etag.
    Etag(String),
}

/// The result of storing an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Etag of the new object. Manta always sends one.
    pub etag: Option<String>,
    /// MD5 of the bytes that Manta received, for comparison with the sent ones.
    pub md5: Option<[u8; 16]>,
}

impl Client {
    /// Stores a small object whose bytes are in memory. Its length and MD5 are computed; those in `object` are ignored.
    ///
    /// The request is retried. With a precondition, it is retried only if the earlier attempt cannot have stored the object;
    /// otherwise that object would make the precondition fail.
    ///
    /// # Errors
    /// `PreconditionFailed`, `DirectoryDoesNotExist`, `ParentNotDirectory`, `OperationNotAllowedOnDirectory`.
    pub async fn put_bytes(&self, path: &Path, bytes: Bytes, object: &NewObject) -> Result<Stored, Error> {
        let length = u64::try_from(bytes.len()).ok();
        let md5 = Some(Md5::digest(&bytes).into());
        let object = NewObject { length, max_length: None, md5, ..object.clone() };
        let mut request = object.request(path)?;
        request.body = bytes;
        self.in_directories(path, &object, || self.put_whole(&request, &object)).await
    }

    async fn put_whole(&self, request: &Request, object: &NewObject) -> Result<Stored, Error> {
        let mut retry = self.retry();
        loop {
            match self.once(request).await.and_then(|answer| object.stored(&answer)) {
                Ok(stored) => return Ok(stored),
                Err(error) if error.is_outcome_unknown() && object.precondition != Precondition::Any => {
                    return Err(error);
                }
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Runs `put`, after creating the parent directories if `object` asks for it. If a directory that was known is missing, both
    /// are repeated once.
    pub(super) async fn in_directories<T, F: Future<Output = Result<T, Error>>>(
        &self,
        path: &Path,
        object: &NewObject,
        put: impl Fn() -> F,
    ) -> Result<T, Error> {
        let parent = path.parent().filter(|_| object.make_directories);
        if let Some(parent) = &parent {
            self.mkdirp(parent).await?;
        }
        match (put().await.map_err(|error| self.notice(path, error)), parent) {
            (Err(error), Some(parent)) if error.code() == Some(ErrorCode::DirectoryDoesNotExist) => {
                self.mkdirp(&parent).await?;
                put().await
            }
            (result, _) => result,
        }
    }
}

impl NewObject {
    /// Builds the head of a request that stores this object.
    pub(super) fn request(&self, path: &Path) -> Result<Request, Error> {
        let mut request = Request::new(Method::PUT, path, "application/json");
        let content_type = self.content_type.as_deref().unwrap_or("application/octet-stream");
        request.set_text(header::CONTENT_TYPE, content_type, "content type")?;
        match (self.length, self.max_length) {
            (Some(length), _) => request.set(header::CONTENT_LENGTH, length),
            (None, Some(length)) => request.set(HeaderName::from_static("max-content-length"), length),
            (None, None) => {}
        }
        if let Some(md5) = self.md5 {
            request.set_text(HeaderName::from_static("content-md5"), &encode_md5(md5), "MD5")?;
        }
        match &self.precondition {
            Precondition::Any => {}
            // No object has an empty etag.
            Precondition::Absent => request.set(header::IF_MATCH, HeaderValue::from_static("\"\"")),
            Precondition::Etag(etag) => request.set_text(header::IF_MATCH, etag, "etag")?,
        }
        for (name, value) in &self.metadata {
            let name = HeaderName::try_from(format!("m-{name}"));
            let name = name.map_err(|_| Error::Unprintable("name of metadata"))?;
            request.set_text(name, value, "value of metadata")?;
        }
        Ok(request)
    }

    /// Reads the result from the answer.
    ///
    /// # Errors
    /// [`Error::Md5`] if the MD5 differs from the announced one. A server that checks the MD5 itself rejects the upload earlier.
    pub(super) fn stored(&self, answer: &Answer) -> Result<Stored, Error> {
        let md5 = digest(&answer.headers, "computed-md5");
        if md5.is_some() && self.md5.is_some() && md5 != self.md5 {
            return Err(Error::Md5);
        }
        Ok(Stored { etag: Metadata::read(&answer.headers).etag, md5 })
    }
}
