// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request while it is processed.

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;

use super::auth::Access;
use super::conditions::names_a_tag;
use super::error::MantaError;
use super::faults::{HangUp, MantaFault, RequestFaults, Stage};
use super::path::ResourcePath;
use super::store::{Complete, Conflict, Entry, Expected, Store};

/// An authorized request.
#[derive(Debug)]
pub(super) struct Call {
    /// The stored entries and their content.
    pub(super) store: Store,
    /// The request without its body.
    pub(super) head: Parts,
    /// The path of the request.
    pub(super) path: ResourcePath,
    /// The caller's permissions.
    pub(super) access: Access,
    /// The faults to inject into the request.
    pub(super) faults: RequestFaults,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The error is sent as the answer.
    #[error(transparent)]
    Answer(#[from] MantaError),
    /// The connection is closed without an answer.
    #[error(transparent)]
    HangUp(#[from] HangUp),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Answer(error.into())
    }
}

impl Call {
    /// Returns the key of the path in the store.
    pub(super) fn key(&self) -> String {
        self.path.key(&self.access.owner)
    }

    /// Returns the text of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the `type` parameter of a JSON content type, as in `application/json; type=directory`.
    pub(super) fn json_type(&self) -> Option<&str> {
        let (kind, parameter) = self.header(CONTENT_TYPE.as_str())?.split_once(';')?;
        let is_json = kind.trim().eq_ignore_ascii_case("application/json");
        parameter.trim().strip_prefix("type=").filter(|_| is_json)
    }

    /// Returns whether the request changes only the metadata of an entry, not its content.
    pub(super) fn is_metadata_update(&self) -> bool {
        let query = self.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "metadata" && !value.is_empty())
    }

    /// Returns `ResourceNotFound` for the path.
    pub(super) fn not_found(&self) -> MantaError {
        MantaError::ResourceNotFound(self.path.to_string())
    }

    /// Rejects a change of a directory that always exists.
    pub(super) fn refuse_root(&self) -> Result<(), MantaError> {
        match self.path.is_root() {
            false => Ok(()),
            true => Err(MantaError::OperationNotAllowedOnRootDirectory {
                method: self.head.method.to_string(),
                path: self.path.to_string(),
            }),
        }
    }

    /// Rejects an operation on a directory if it is allowed for objects only.
    pub(super) fn refuse_directory(&self, entry: Option<&Entry>) -> Result<(), MantaError> {
        match entry {
            Some(entry) if entry.object.is_none() => Err(self.is_directory()),
            _ => Ok(()),
        }
    }

    /// Rejects a path whose parent directory does not exist.
    pub(super) async fn require_parent(&self) -> Result<(), MantaError> {
        let parent = self.path.parent();
        if parent.is_root() {
            return Ok(());
        }
        match self.store.get(parent.key(&self.access.owner)).await? {
            None => Err(MantaError::DirectoryDoesNotExist(parent.to_string())),
            Some(entry) if entry.object.is_some() => Err(MantaError::ParentNotDirectory(parent.to_string())),
            Some(_) => Ok(()),
        }
    }

    /// Replaces `old` by an entry. If the request names an etag, `old` must not have changed since it was read.
    pub(super) async fn put(
        &self,
        new: Entry,
        content: Option<Complete>,
        old: Option<&Entry>,
    ) -> Result<(), MantaError> {
        self.meet_commit().await?;
        let change = self.store.put(self.key(), new, content, self.expected(old)).await?;
        change.map_err(|conflict| self.conflict(&conflict))
    }

    /// Removes `old`. If the request names an etag, `old` must not have changed since it was read.
    pub(super) async fn delete(&self, old: &Entry) -> Result<(), MantaError> {
        self.meet_commit().await?;
        let change = self.store.delete(self.key(), self.expected(Some(old))).await?;
        change.map_err(|conflict| self.conflict(&conflict))
    }

    async fn meet_commit(&self) -> Result<(), MantaError> {
        match self.faults.meet(Stage::Commit).await {
            Some(MantaFault::ConcurrentRequest) => Err(MantaError::ConcurrentRequest(self.path.to_string())),
            _ => Ok(()),
        }
    }

    fn expected(&self, old: Option<&Entry>) -> Expected {
        match names_a_tag(&self.head.headers) {
            true => Expected::Revision(old.map(|old| old.revision.clone())),
            false => Expected::Anything,
        }
    }

    fn conflict(&self, conflict: &Conflict) -> MantaError {
        match conflict {
            Conflict::Changed => MantaError::ConcurrentRequest(self.path.to_string()),
            Conflict::NoParent => MantaError::DirectoryDoesNotExist(self.path.parent().to_string()),
            Conflict::Directory => self.is_directory(),
            Conflict::NotEmpty => MantaError::DirectoryNotEmpty(self.path.to_string()),
        }
    }

    fn is_directory(&self) -> MantaError {
        MantaError::OperationNotAllowedOnDirectory {
            path: self.path.to_string(),
            method: self.head.method.to_string(),
        }
    }
}
