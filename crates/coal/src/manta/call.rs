// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request on its way through the server.

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;

use super::auth::Access;
use super::conditions::names_a_tag;
use super::error::MantaError;
use super::faults::{HangUp, MantaFault, RequestFaults, Stage};
use super::path::ResourcePath;
use super::store::{Complete, Conflict, Entry, Expected, Store};

/// A request whose caller may do what it asks for.
#[derive(Debug)]
pub(super) struct Call {
    /// Where everything is.
    pub(super) store: Store,
    /// The request without its body.
    pub(super) head: Parts,
    /// Where it goes.
    pub(super) path: ResourcePath,
    /// Who made it.
    pub(super) access: Access,
    /// What is to go wrong with it.
    pub(super) faults: RequestFaults,
}

/// Why there is no answer of success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The answer says why.
    #[error(transparent)]
    Answer(#[from] MantaError),
    /// There is no answer at all.
    #[error(transparent)]
    HangUp(#[from] HangUp),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Answer(error.into())
    }
}

impl Call {
    /// The key that the path stands for.
    pub(super) fn key(&self) -> String {
        self.path.key(&self.access.owner)
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The `type` parameter of a content type that is JSON, as in `application/json; type=directory`.
    pub(super) fn json_type(&self) -> Option<&str> {
        let (kind, parameter) = self.header(CONTENT_TYPE.as_str())?.split_once(';')?;
        let is_json = kind.trim().eq_ignore_ascii_case("application/json");
        parameter.trim().strip_prefix("type=").filter(|_| is_json)
    }

    /// Whether it is to change what is known about an entry, and not its content.
    pub(super) fn is_metadata_update(&self) -> bool {
        let query = self.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "metadata" && !value.is_empty())
    }

    /// `ResourceNotFound` for the path.
    pub(super) fn not_found(&self) -> MantaError {
        MantaError::ResourceNotFound(self.path.to_string())
    }

    /// Refuses to change what is always there.
    pub(super) fn refuse_root(&self) -> Result<(), MantaError> {
        match self.path.is_root() {
            false => Ok(()),
            true => Err(MantaError::OperationNotAllowedOnRootDirectory {
                method: self.head.method.to_string(),
                path: self.path.to_string(),
            }),
        }
    }

    /// Refuses what is for objects only.
    pub(super) fn refuse_directory(&self, entry: Option<&Entry>) -> Result<(), MantaError> {
        match entry {
            Some(entry) if entry.object.is_none() => Err(self.is_directory()),
            _ => Ok(()),
        }
    }

    /// Refuses a path whose directory is not there.
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

    /// Puts an entry in the place of `old`. With conditions on tags it must still be there just so.
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

    /// Removes `old`, under the same rule.
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
