// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;

use ::manta::ErrorCode;

use crate::manifest::Stor;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk is full, over quota, or the file is larger than the system lets this process write.
    #[error("no space left on the local storage")]
    NoSpace,
    /// The file is not there.
    #[error("file {0} does not exist")]
    NotFound(String),
    /// What is there are not the bytes of the file.
    #[error("file {0} is another one")]
    Damaged(String),
    /// Anything else the system said. The message may hold a path, so it is for the log only.
    #[error("local storage failed")]
    Io(#[source] io::Error),
    /// Manta refused, or did not answer.
    #[error("manta failed")]
    Manta(#[source] Box<::manta::Error>),
    /// Manta cannot be asked: there is no key that can be used.
    #[error("manta cannot be used")]
    MantaUnusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process has stored the same file of the same image meanwhile.
    #[error("another upload of the same file was faster")]
    Overtaken,
    /// The name of a file cannot be one in Manta.
    #[error("not a name in manta")]
    InvalidName,
    /// This server has no such storage.
    #[error("there is no storage {0}")]
    Absent(Stor),
}

impl StorageError {
    /// Whether it may be different later, or after an operator has given Manta what it wants.
    pub fn is_temporary(&self) -> bool {
        let StorageError::Manta(error) = self else { return false };
        let is_denied = matches!(&**error, ::manta::Error::Server(refusal) if matches!(refusal.status.as_u16(), 401 | 403));
        error.is_unavailable() || error.is_retriable() || is_denied
    }

    /// Whether Manta says that the directory of an image is not there.
    pub fn is_about_a_directory(&self) -> bool {
        matches!(self, StorageError::Manta(error) if error.code() == Some(ErrorCode::DirectoryDoesNotExist))
    }

    /// Whether Manta answers nobody now, or not this server; so there is no use in asking it for something else.
    pub fn is_away(&self) -> bool {
        match self {
            StorageError::Manta(error) => {
                error.is_unavailable() && error.code() != Some(ErrorCode::InternalError)
            }
            StorageError::MantaUnusable(_) => true,
            _ => false,
        }
    }

    /// What is wrong with a path in Manta that was not chosen here.
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
