// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Why a configuration cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// The file holds no valid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The change needs a restart.
    #[error("{0} cannot be changed without a restart")]
    Restart(&'static str),
    /// An address cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// Manta's key cannot be used.
    #[error("the key in {} cannot be used: {reason}", file.display())]
    Key {
        /// The path of the key.
        file: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ReloadError {
    /// Returns whether the cause may be a file that is still being written.
    pub(super) fn may_be_unfinished(&self) -> bool {
        match self {
            ReloadError::Config(ConfigError::Read { .. } | ConfigError::Parse { .. })
            | ReloadError::Key { .. } => true,
            ReloadError::Config(ConfigError::Invalid(_))
            | ReloadError::Restart(_)
            | ReloadError::Listen { .. } => false,
        }
    }
}
