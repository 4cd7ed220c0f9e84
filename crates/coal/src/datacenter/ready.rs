//! The ready-file: what tools read to find the services.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::write_json;
use crate::ufds::Account;

/// The content of the ready-file.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyFile {
    /// All datacenters.
    pub datacenters: Vec<ReadyDatacenter>,
}

/// One datacenter in the ready-file. What does not run is left out.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyDatacenter {
    /// Its name.
    pub name: String,
    /// URL of IMGAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imgapi: Option<String>,
    /// URL of IMGAPI's metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Host and port of Moray.
    pub moray: String,
    /// URL of UFDS.
    pub ufds: String,
    /// URL of Manta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manta: Option<String>,
    /// URL of the control, which makes Manta fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// IMGAPI's config.
    pub config_file: PathBuf,
    /// Where IMGAPI keeps files.
    pub local_dir: PathBuf,
    /// The account with the login `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_uuid: Option<String>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// Virtual machines as `{"uuid", "owner_uuid"}`; there are none.
    pub vms: Vec<serde_json::Value>,
}

impl ReadyFile {
    /// Writes the file, all or nothing: whoever sees it may rely on it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_json(path, self)
    }
}
