// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;

use ::manta::ErrorCode;

use crate::manifest::Stor;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk is full, the quota is used up, or the file is larger than this process may write.
    #[error("no space left on the local storage")]
    NoSpace,
    /// The file does not exist.
    #[error("file {0} does not exist")]
    NotFound(String),
    /// The stored bytes are not those of the file.
    #[error("file {0} is another one")]
    Damaged(String),
    /// Any other error of the system. The message may contain a path, so it is for the log only.
    #[error("local storage failed")]
    Io(#[source] io::Error),
    /// Manta refused the request, or did not answer.
    #[error("manta failed")]
    Manta(#[source] Box<::manta::Error>),
    /// Manta cannot be used, because there is no usable key.
    #[error("manta cannot be used")]
    MantaUnusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process has stored the same file of the same image meanwhile.
    #[error("another upload of the same file was faster")]
    Overtaken,
    /// The name of a file is not allowed in Manta.
    #[error("not a name in manta")]
    InvalidName,
    /// This server does not have the storage.
    #[error("there is no storage {0}")]
    Absent(Stor),
}

impl StorageError {
    /// Returns whether a retry may succeed, perhaps after an operator has corrected Manta's configuration.
    pub fn is_temporary(&self) -> bool {
        let StorageError::Manta(error) = self else { return false };
        let is_denied = matches!(&**error, ::manta::Error::Server(refusal) if matches!(refusal.status.as_u16(), 401 | 403));
        error.is_unavailable() || error.is_retriable() || is_denied
    }

    /// Returns whether Manta reports that the directory of an image is missing.
    pub fn is_about_a_directory(&self) -> bool {
        matches!(self, StorageError::Manta(error) if error.code() == Some(ErrorCode::DirectoryDoesNotExist))
    }

    /// Returns whether Manta does not serve anybody now, or not this server, so that other requests would fail as well.
    pub fn is_away(&self) -> bool {
        match self {
            StorageError::Manta(error) => {
                error.is_unavailable() && error.code() != Some(ErrorCode::InternalError)
            }
            StorageError::MantaUnusable(_) => true,
            _ => false,
        }
    }

    /// Returns what is wrong with a path in Manta that a client has chosen.
    pub fn path_problem(&self) -> Option<&'static str> {
        let code = match self {
            StorageError::InvalidName => return Some("is no path in manta"),
            StorageError::Manta(error) => error.code()?,
            _ => return None,
        };
        Some(match code {
            ErrorCode::AuthorizationFailed | ErrorCode::NoMatchingRoleTag => "may not be written to",
            ErrorCode::DirectoryDoesNotExist => "is in no directory",
            ErrorCode::ParentNotDirectory => "is below an object",
            ErrorCode::OperationNotAllowedOnDirectory => "is in the place of a directory",
            ErrorCode::OperationNotAllowedOnRootDirectory => {
                "is in the place of a directory that is always there"
            }
            ErrorCode::AccountDoesNotExist | ErrorCode::InvalidResource => "is nobody's",
            _ => return None,
        })
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> StorageError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StorageError::NoSpace
            }
            _ => StorageError::Io(error),
        }
    }
}

impl From<::manta::Error> for StorageError {
    fn from(error: ::manta::Error) -> StorageError {
        StorageError::Manta(Box::new(error))
    }
}
