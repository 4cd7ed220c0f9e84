// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Why a datacenter does not start.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::ufds::DirectoryError;

/// Why a datacenter, or the `imgapi` in it, did not start.
#[derive(Debug, Error)]
pub enum DatacenterError {
    /// An operation on a file, a directory or a port failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// The operation, with the name of its object.
        action: String,
        /// The error from the operating system.
        source: io::Error,
    },
    /// The LDIF file is invalid.
    #[error("{}: {source}", .path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// Why it is invalid.
        source: DirectoryError,
    },
    /// The built-in directory is invalid.
    #[error("built-in accounts: {0}")]
    BuiltIn(#[source] DirectoryError),
    /// The consecutive ports of a datacenter cannot start with this port.
    #[error("port {0} cannot be the first: too few follow")]
    Ports(u16),
    /// `imgapi` or its config-agent ended too early.
    #[error("{program} ended: {status}; the end of its log:\n{log}")]
    Exited {
        /// Name of the program.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// `imgapi` did not answer in time.
    #[error("imgapi did not answer {path} with 200 within {} s; latest: {latest}", .deadline.as_secs())]
    NotReady {
        /// Path of the request.
        path: &'static str,
        /// Time limit.
        deadline: Duration,
        /// The latest answer or failure.
        latest: String,
    },
}

/// Adds a description of the failed operation to an error from the operating system.
pub(super) fn cannot(action: impl Into<String>) -> impl FnOnce(io::Error) -> DatacenterError {
    let action = action.into();
    move |source| DatacenterError::Io { action, source }
}
