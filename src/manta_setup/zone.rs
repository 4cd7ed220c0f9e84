// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads the service's configuration without validation, because setting up must be possible while it is incomplete.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The largest configuration or key file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The part of the configuration that the setup uses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Zone {
    /// The host of SAPI, with a port if there is one.
    pub(super) sapi_service: Option<String>,
    pub(super) ufds_admin_login: Option<String>,
    #[serde(rename = "serverName")]
    server_name: Option<String>,
    pub(super) manta: Option<ZoneManta>,
}

/// The Manta of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ZoneManta {
    pub(super) url: Option<String>,
    pub(super) user: Option<String>,
    pub(super) key: Option<PathBuf>,
    pub(super) key_id: Option<String>,
    insecure: Value,
}

impl ZoneManta {
    /// Returns whether any certificate of Manta is accepted. Metadata may be strings.
    pub(super) fn insecure(&self) -> bool {
        matches!(&self.insecure, Value::Bool(true)) || self.insecure == "true"
    }
}

impl Zone {
    pub(super) fn read(file: &Path) -> Result<Zone, String> {
        let text = read(file)?;
        // The parser's message may quote a value.
        serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("{} is not a configuration: line {line}, column {column}", file.display())
        })
    }

    /// Returns the User-Agent for the services of the datacenter.
    pub(super) fn user_agent(&self) -> String {
        self.server_name.clone().unwrap_or_else(|| format!("imgapi/{}", env!("CARGO_PKG_VERSION")))
    }
}

/// Reads a small file.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| failed(&error))?;
    let read = opened.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if read as u64 > MAX_FILE { Err(failed(&"it is too long")) } else { Ok(text) }
}
