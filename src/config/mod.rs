// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The configuration: built-in defaults, overlaid with the instance's file key by key, completed with computed
//! values, and validated. A problem names the key that has it.

mod auth;
mod base_dir;
mod channels;
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
pub use outgoing::{Outgoing, RemoteDatacenter};
pub use print::print;
pub use problem::Problem;
pub use reload_status::{InForce, LastError, Situation};
pub use scrub::Scrub;
pub use secret::Secret;
pub use storage::Manta;
pub use transfer::{Pace, Stalled, TransferLimits};

/// Where the configuration of an installed service is.
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
    /// Identity of this instance, as metrics and logs carry it.
    pub identity: Identity,
    /// `adminIp` and `metricsPort`: where metrics are served. Absent without `adminIp`.
    pub metrics: Option<(IpAddr, u16)>,
    /// `adminUuid`: the account of the operators.
    pub admin_uuid: Option<Uuid>,
    /// `ufds`: where a datacenter's accounts are. Absent in the other modes, whose owners nobody knows.
    pub ufds: Option<Ufds>,
    /// `authType`, with what it needs.
    pub auth: Auth,
    /// `databaseType`, with what it needs.
    pub database: Database,
    /// `manta`, and whether `storageTypes` names it. Local storage is always there.
    pub manta: Option<Manta>,
    /// `channels`.
    pub channels: Channels,
    /// `maxConnections`: open client connections at a time.
    pub max_connections: usize,
    /// `maxAclAccounts`: accounts in the ACL of an image that is made or changed.
    pub max_acl_accounts: usize,
    /// `maxAnswerBytes`: memory of all answers that wait for their clients to read them.
    pub max_answer_bytes: usize,
    /// `shutdownGraceSeconds`: how long running transfers may go on after a signal to stop.
    pub shutdown_grace: Duration,
    /// How other servers are called.
    pub outgoing: Outgoing,
    /// `wfapi`, `vmapi`, `cnapi`, and the rules for images of VMs.
    pub jobs: Jobs,
    /// What uploads and downloads have to keep to.
    pub transfer: TransferLimits,
    /// How stored files are read again; `None` for not at all.
    pub scrub: Option<Scrub>,
    /// `$IMGAPI_LOCAL_BASE_DIR`, else `localBaseDir`, else `/data/imgapi`: the directory of local data.
    pub local_base_dir: PathBuf,
    /// Which of these it is.
    pub local_base_dir_named_by: NamedBy,
    merged: secret::Masked,
}

/// What the metrics' static labels say about this instance. Empty where the configuration is silent.
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
    /// `ufds.cacheSeconds`: for how long an account that was there counts as being there.
    pub remembered: Duration,
}

/// Where manifests live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// `databaseType` `moray`: in the Moray of a datacenter.
    Moray(Moray),
    /// `databaseType` `local`: in files below the local base directory.
    Local,
}

/// The manifests' database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moray {
    /// `moray.host`: a host name, a domain with `_moray._tcp` SRV records, or an address.
    pub host: String,
    /// `moray.port`.
    pub port: u16,
    /// `moray.connectTimeout`, in milliseconds in the file. 4.13.1's 200 ms is too tight under load, so less
    /// than a second counts as a second.
    pub connect_timeout: Duration,
    /// `staleReadSeconds`: how long reads are answered from memory while Moray is away; 0 for never.
    pub stale_reads: Duration,
}

impl Config {
    /// The file that takes this server out of service while it is there: balancers are told so, and requests are answered.
    pub fn drain_file(&self) -> PathBuf {
        self.local_base_dir.join("run").join("drain")
    }

    /// The defaults overlaid with the file's keys, with the computed values filled in: what `imgapi config` prints.
    /// It holds secrets.
    pub fn merged(&self) -> &serde_json::Map<String, Value> {
        &self.merged.0
    }

    /// Whether it says the same.
    pub fn says_the_same_as(&self, other: &Config) -> bool {
        self.merged() == other.merged()
    }

    /// The merged configuration as it may be logged: every secret masked.
    pub fn masked(&self) -> Value {
        self.merged.masked()
    }
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
