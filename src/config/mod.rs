// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The configuration: the built-in defaults, overlaid with the keys of the instance's file, completed with computed
//! values, and validated. A problem names its key.

mod auth;
mod base_dir;
mod channels;
mod imgapid;
mod jobs;
mod load;
mod outgoing;
mod print;
mod problem;
mod read;
mod reload_status;
mod restart;
mod scrub;
mod secret;
mod storage;
mod transfer;
mod warnings;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::manifest::{Mode, Uuid};
use crate::telemetry::Level;

pub use auth::{Auth, SignatureAuth};
pub use base_dir::NamedBy;
pub use channels::{ChannelId, Channels};
pub use jobs::{Jobs, Platform, Wfapi};
pub use load::ConfigError;
pub use outgoing::{LxdRegistry, Outgoing, RemoteDatacenter};
pub use print::print;
pub use problem::Problem;
pub use reload_status::{LastError, LoadState, ReloadStatus};
pub use scrub::Scrub;
pub use secret::Secret;
pub use storage::Manta;
pub use transfer::{Pace, Stalled, TransferLimits};

/// The path of an installed service's configuration.
pub const DEFAULT_FILE: &str = "/data/imgapi/etc/imgapi.config.json";

/// A validated configuration.
///
/// `docs/configuration.md` explains every key. Unknown keys are kept in [`Config::merged`] and otherwise ignored.
#[derive(Debug, Clone)]
pub struct Config {
    /// `address` and `port`: where the API listens.
    pub address: IpAddr,
    /// TCP port of the API; 0 lets the system choose.
    pub port: u16,
    /// `serverName`: value of the `Server` header.
    pub server_name: String,
    /// `logLevel`: a Bunyan level, by name or number.
    pub log_level: Level,
    /// `mode`.
    pub mode: Mode,
    /// `datacenterName`; empty outside a datacenter.
    pub datacenter_name: String,
    /// The identity of this instance in metrics and logs.
    pub identity: Identity,
    /// `adminIp` and `metricsPort`: where metrics are served. Absent without `adminIp`.
    pub metrics: Option<(IpAddr, u16)>,
    /// `adminUuid`: the account of the operators.
    pub admin_uuid: Option<Uuid>,
    /// `ufds`: the directory of a datacenter's accounts. Absent in the other modes, where owners are not looked up.
    pub ufds: Option<Ufds>,
    /// `authType` and its settings.
    pub auth: Auth,
    /// `databaseType` and its settings.
    pub database: Database,
    /// `manta`, and whether `storageTypes` contains it. Local storage is always available.
    pub manta: Option<Manta>,
    /// `channels`.
    pub channels: Channels,
    /// `maxConnections`: the most open client connections at a time.
    pub max_connections: usize,
    /// `maxAclAccounts`: the most accounts in the ACL of an image that is created or changed.
    pub max_acl_accounts: usize,
    /// `maxAnswerBytes`: the most memory of all answers that clients have not read yet.
    pub max_answer_bytes: usize,
    /// `shutdownGraceSeconds`: how long running transfers may continue after a signal to stop.
    pub shutdown_grace: Duration,
    /// The settings of calls to other servers.
    pub outgoing: Outgoing,
    /// `wfapi`, `vmapi`, `cnapi`, and the rules for images of VMs.
    pub jobs: Jobs,
    /// The limits of uploads and downloads.
    pub transfer: TransferLimits,
    /// How stored files are verified in the background; `None` if they are not.
    pub scrub: Option<Scrub>,
    /// The directory of local data: `$IMGAPI_LOCAL_BASE_DIR`, otherwise `localBaseDir`, otherwise `/data/imgapi`.
    pub local_base_dir: PathBuf,
    /// Which of these sets it.
    pub local_base_dir_named_by: NamedBy,
    merged: secret::Masked,
}

/// The labels of this instance in the metrics. Empty if not configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `instanceUuid`.
    pub instance: String,
    /// `serverUuid`.
    pub server: String,
    /// `serviceName`.
    pub service: String,
}

/// The account directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ufds {
    /// `ufds.url`: `ldaps://host[:port]` or `ldap://host[:port]`.
    pub url: String,
    /// `ufds.bindDN`.
    pub bind_dn: String,
    /// `ufds.bindPassword`.
    pub bind_password: Secret,
    /// `ufds.cacheSeconds`: how long an account that was found is assumed to exist.
    pub remembered: Duration,
}

/// Where manifests are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// `databaseType` `moray`: in the Moray of a datacenter.
    Moray(Moray),
    /// `databaseType` `local`: in files below the local base directory.
    Local,
}

/// The Moray that stores the manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moray {
    /// `moray.host`: a host name, a domain with `_moray._tcp` SRV records, or an address.
    pub host: String,
    /// `moray.port`.
    pub port: u16,
    /// `moray.connectTimeout`, in milliseconds in the file. A value below one second counts as one second, because the
    /// 4.13.1 default of 200 ms is too short under load.
    pub connect_timeout: Duration,
    /// `staleReadSeconds`: how long reads are answered from memory while Moray is unavailable; 0 disables that.
    pub stale_reads: Duration,
}

impl Config {
    /// Returns the path of the file that takes this server out of service while it exists: balancers see it as
    /// unavailable, but it still answers requests.
    pub fn drain_file(&self) -> PathBuf {
        self.local_base_dir.join("run").join("drain")
    }

    /// Returns the defaults overlaid with the file's keys, including computed values: the output of `imgapi config`. It
    /// contains secrets.
    pub fn merged(&self) -> &serde_json::Map<String, Value> {
        &self.merged.0
    }

    /// Returns whether both configurations have the same content.
    pub fn says_the_same_as(&self, other: &Config) -> bool {
        self.merged() == other.merged()
    }

    /// Returns the merged configuration for the log, with every secret masked.
    pub fn masked(&self) -> Value {
        self.merged.masked()
    }
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
