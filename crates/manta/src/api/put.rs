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
    /// Its type; `application/octet-stream` if none is given.
    pub content_type: Option<String>,
    /// Its length in bytes. Without it Manta keeps room for `max_length`.
    pub length: Option<u64>,
    /// The greatest length it can have, where it is not known. Without both Manta keeps room for 50 GiB.
    pub max_length: Option<u64>,
    /// Its MD5: Manta then refuses anything else.
    pub md5: Option<[u8; 16]>,
    /// What has to be at the path before.
    pub precondition: Precondition,
    /// Headers `m-*` to store with it, without `m-`.
    pub metadata: UserMetadata,
    /// Whether to make the directories it is in, as [`Client::mkdirp`] does.
    pub make_directories: bool,
}

/// What has to be at a path before it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Anything or nothing.
    #[default]
    Any,
    /// Nothing.
    Absent,
    /// The object of this etag.
    Etag(String),
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The etag of the new object. Manta always tells it.
    pub etag: Option<String>,
    /// The MD5 of what Manta received, to be compared with what was sent.
    pub md5: Option<[u8; 16]>,
}

impl Client {
    /// Stores a small object, whose bytes are at hand. Length and MD5 are taken from them, whatever `object` says.
    ///
    /// Tried again. With a precondition this is only done if the first attempt cannot have been carried out, because it
    /// would make the second one fail.
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

    /// Puts something, and makes the directories it is in before, if that is wanted. If one that was known is gone, once
    /// more.
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
    /// The head of a request that stores this.
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
            // An empty etag is no object's.
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

    /// What an answer says was stored.
    ///
    /// # Errors
    /// `Md5` if it is something else than what was announced. A server that checks does not let it come to that.
    pub(super) fn stored(&self, answer: &Answer) -> Result<Stored, Error> {
        let md5 = digest(&answer.headers, "computed-md5");
        if md5.is_some() && self.md5.is_some() && md5 != self.md5 {
            return Err(Error::Md5);
        }
        Ok(Stored { etag: Metadata::read(&answer.headers).etag, md5 })
    }
}
