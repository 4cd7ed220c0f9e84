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
    /// Something with a file, a directory or a port.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was to be done, with the name it was done to.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// The LDIF file is not a directory.
    #[error("{}: {source}", .path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DirectoryError,
    },
    /// The directory that was compiled in is broken.
    #[error("built-in accounts: {0}")]
    BuiltIn(#[source] DirectoryError),
    /// The consecutive ports of a datacenter cannot start here.
    #[error("port {0} cannot be the first: too few follow")]
    Ports(u16),
    /// `imgapi` or its config-agent ended before it had done what it was started for.
    #[error("{program} ended: {status}; the end of its log:\n{log}")]
    Exited {
        /// Which of them.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// `imgapi` did not answer in time.
    #[error("imgapi did not answer {path} with 200 within {} s; latest: {latest}", .deadline.as_secs())]
    NotReady {
        /// What was asked for.
        path: &'static str,
        /// How long.
        deadline: Duration,
        /// The latest answer or failure.
        latest: String,
    },
}

/// Says what was to be done when the system refused.
pub(super) fn cannot(action: impl Into<String>) -> impl FnOnce(io::Error) -> DatacenterError {
    let action = action.into();
    move |source| DatacenterError::Io { action, source }
}
