// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manta in a datacenter: the server, and the account keys for it.

use std::io;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::builder::DataDir;
use super::error::{DatacenterError, cannot};
use super::keys::{self, AccountKey};
use super::ports::Addresses;
use crate::manta::{MantaOptions, MantaServer};
use crate::ufds::LiveDirectory;

/// Whether a datacenter has a Manta, and how IMGAPI sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MantaMode {
    /// There is no Manta.
    #[default]
    None,
    /// The datacenter has a Manta of its own.
    Local,
    /// There is a Manta that IMGAPI treats as remote.
    Remote,
    /// The datacenter has a Manta of its own, but IMGAPI is not configured for it.
    Unused,
}

/// A running Manta.
#[derive(Debug)]
pub(super) struct Manta {
    server: Arc<MantaServer>,
    mode: MantaMode,
    // The admin's key, with which IMGAPI signs.
    key: Option<AccountKey>,
}

impl Manta {
    /// Starts the Manta of this `mode`, and gives the accounts keys.
    pub(super) async fn start(
        mode: MantaMode,
        data: &DataDir,
        addresses: Addresses,
        accounts: &LiveDirectory,
    ) -> Result<Option<Self>, DatacenterError> {
        if mode == MantaMode::None {
            return Ok(None);
        }
        let keys_dir = data.keys_dir();
        let keys = keys::give(&keys_dir, accounts)
            .map_err(cannot(format!("write keys to {}", keys_dir.display())))?;
        let key = keys.into_iter().find(|key| mode != MantaMode::Unused && key.login == "admin");
        let options = MantaOptions { data_dir: data.path().join("manta"), directory: accounts.clone() };
        let server = MantaServer::bind(addresses.manta, options)
            .await
            .map_err(cannot(format!("start Manta on {}", addresses.manta)))?;
        let server = Arc::new(server);
        Ok(Some(Self { server, mode, key }))
    }

    /// Returns the server.
    pub(super) fn server(&self) -> &Arc<MantaServer> {
        &self.server
    }

    /// Returns the keys of IMGAPI's config for this Manta. They are empty if IMGAPI is not configured for it, or if there is no
    /// admin.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let Some(key) = &self.key else { return Map::new() };
        let section = json!({
            "url": self.server.url(),
            "user": key.login,
            "key": key.file,
            "keyId": key.sha256,
            "insecure": false,
            "remote": self.mode == MantaMode::Remote,
            "baseDir": "imgapi",
        });
        let settings = [("storageTypes", json!(["manta", "local"])), ("manta", section)];
        settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// Returns the metadata in SAPI for this Manta. They are empty under the same conditions as [`settings`](Self::settings).
    pub(super) fn metadata(&self) -> io::Result<Map<String, Value>> {
        let Some(key) = &self.key else { return Ok(Map::new()) };
        let metadata = json!({
            "IMGAPI_MANTA_URL": self.server.url(),
            "IMGAPI_MANTA_USER": key.login,
            "IMGAPI_MANTA_INSECURE": false,
            "IMGAPI_MANTA_REMOTE": self.mode == MantaMode::Remote,
            "IMGAPI_KEY_ID": key.sha256,
            "IMGAPI_PRIVATE_KEY": std::fs::read_to_string(&key.file)?,
            "IMGAPI_PUBLIC_KEY": key.public,
        });
        Ok(metadata.as_object().cloned().unwrap_or_default())
    }

    /// Stops the server.
    pub(super) async fn stop(&self) {
        self.server.stop().await;
    }
}
