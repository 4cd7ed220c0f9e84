// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is none in the file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is for another process.
    #[error("{0} cannot be changed without a restart")]
    Restart(&'static str),
    /// An address is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Manta's key is not to be had.
    #[error("the key in {} cannot be used: {reason}", file.display())]
    Key {
        /// Where it should be.
        file: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Refused {
    /// Whether somebody may be in the middle of writing a file.
    pub(super) fn may_be_unfinished(&self) -> bool {
        match self {
            Refused::Config(ConfigError::Read { .. } | ConfigError::Parse { .. }) | Refused::Key { .. } => {
                true
            }
            Refused::Config(ConfigError::Invalid(_)) | Refused::Restart(_) | Refused::Listen { .. } => false,
        }
    }
}
