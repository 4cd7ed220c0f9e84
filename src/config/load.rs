// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::read::Reader;
use super::secret::Masked;
use super::{
    Channels, Config, Database, Identity, Jobs, Moray, Outgoing, Scrub, Secret, TransferLimits, Ufds,
};
use super::{auth, base_dir, imgapid, storage};
use crate::files;
use crate::manifest::Mode;
use crate::telemetry::Level;

/// The defaults that every configuration starts from.
const DEFAULTS: &str = include_str!("../../etc/defaults.json");

/// The largest file that is read, in bytes: enough for a thousand datacenters, channels and keys.
const MAX_FILE: u64 = 4 << 20;
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_CONNECT_TIMEOUT_MS: u64 = 60_000;
const MAX_CONNECTIONS: u64 = 1_000_000;
/// More accounts than fit into a request body.
const MAX_ACL_ACCOUNTS: u64 = 100_000;
const MAX_ANSWER_BYTES: u64 = 1 << 40;
const MAX_GRACE_SECONDS: u64 = 3600;
const MAX_STALE_SECONDS: u64 = 7 * 24 * 3600;
/// Accounts are almost never deleted.
const CACHE_SECONDS: u64 = 300;
const MAX_CACHE_SECONDS: u64 = 24 * 3600;

/// Why a configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file, or the built-in defaults, are not a JSON object.
    #[error("{name} is not a JSON object: {reason}")]
    Parse {
        /// The name of the parsed text.
        name: String,
        /// The position and kind of the error.
        reason: String,
    },
    /// Some values are missing or invalid.
    #[error("invalid configuration: {}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
}

impl Config {
    /// Reads, completes and validates the configuration file at `path`.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::from_instance(parse(&path.display().to_string(), &read_file(path)?)?)
    }

    /// Completes and validates the defaults overlaid with `instance`. As in 4.13.1, top-level keys of the instance
    /// replace those of the defaults as a whole, and a null replaces nothing.
    pub fn from_instance(mut instance: Map<String, Value>) -> Result<Config, ConfigError> {
        imgapid::translate(&mut instance);
        let mut merged = parse("the built-in defaults", DEFAULTS)?;
        merged.extend(instance.into_iter().filter(|(_, value)| !value.is_null()));
        let mut problems = Vec::new();
        let config = read(merged, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
    }
}

fn default_server_name() -> String {
    format!("imgapi/{}", env!("CARGO_PKG_VERSION"))
}

/// Reads the configuration file at `path`, unless it is too large.
fn read_file(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let bytes = files::read_linked(path, MAX_FILE)?;
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    };
    read().map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Parses a JSON object. Errors do not quote the text, which may contain secrets.
fn parse(name: &str, text: &str) -> Result<Map<String, Value>, ConfigError> {
    let problem = |reason: String| ConfigError::Parse { name: name.to_owned(), reason };
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(problem("it is another value".to_owned())),
        Err(error) => Err(problem(error.to_string())),
    }
}

fn read(mut merged: Map<String, Value>, problems: &mut Vec<Problem>) -> Config {
    merged.entry("serverName").or_insert_with(|| json!(default_server_name()));
    let mut root = Reader::new(&merged, problems);
    let mode = root.parsed("mode", "one of dc, public, private").unwrap_or(Mode::Dc);
    let datacenter_name = datacenter_name(&mut root, mode);
    let transfer = TransferLimits::read(&mut root);
    let manta = storage::read(&mut root, mode, &datacenter_name, transfer);
    imgapid::check(&mut root);
    let (local_base_dir, local_base_dir_named_by) = base_dir::read(&mut root);
    let config = Config {
        address: address(&mut root),
        port: root.integer("port", 0..=u16::MAX.into()).unwrap_or_default() as u16,
        server_name: root.text("serverName").unwrap_or_else(default_server_name),
        log_level: log_level(&mut root),
        mode,
        datacenter_name,
        identity: Identity {
            instance: root.text("instanceUuid").unwrap_or_default(),
            server: root.text("serverUuid").unwrap_or_default(),
            service: root.text("serviceName").unwrap_or_else(|| "imgapi".into()),
        },
        metrics: metrics(&mut root),
        admin_uuid: root.parsed("adminUuid", "a lower-case UUID"),
        ufds: (mode == Mode::Dc).then(|| ufds(&mut root)),
        auth: auth::read(&mut root),
        database: database(&mut root),
        manta,
        channels: Channels::read(&mut root, mode),
        max_connections: root.integer("maxConnections", 0..=MAX_CONNECTIONS).unwrap_or(MAX_CONNECTIONS)
            as usize,
        max_acl_accounts: root.integer("maxAclAccounts", 1..=MAX_ACL_ACCOUNTS).unwrap_or_default() as usize,
        max_answer_bytes: root.integer("maxAnswerBytes", 0..=MAX_ANSWER_BYTES).unwrap_or(MAX_ANSWER_BYTES)
            as usize,
        shutdown_grace: Duration::from_secs(
            root.integer("shutdownGraceSeconds", 0..=MAX_GRACE_SECONDS).unwrap_or_default(),
        ),
        outgoing: Outgoing::read(&mut root),
        jobs: Jobs::read(&mut root),
        transfer,
        scrub: Scrub::read(&mut root),
        local_base_dir,
        local_base_dir_named_by,
        merged: Masked::default(),
    };
    storage::complete(&mut merged, config.manta.as_ref());
    base_dir::complete(&mut merged, &config.local_base_dir);
    Config { merged: Masked(merged), ..config }
}

fn log_level(root: &mut Reader<'_>) -> Level {
    let text = root.text_or_integer("logLevel");
    let level = text.as_deref().map_or(Ok(Level::Debug), str::parse);
    level.unwrap_or_else(|_| {
        root.problem("logLevel", "must be a Bunyan level, by name or number");
        Level::Debug
    })
}

fn address(root: &mut Reader<'_>) -> IpAddr {
    root.parsed("address", "an IP address").unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn metrics(root: &mut Reader<'_>) -> Option<(IpAddr, u16)> {
    let port = root.integer("metricsPort", 0..=u16::MAX.into())? as u16;
    Some((root.parsed("adminIp", "an IP address")?, port))
}

fn ufds(root: &mut Reader<'_>) -> Ufds {
    let mut section = root.section("ufds");
    let url = section.required_text("url");
    if !url.is_empty() && !url.starts_with("ldaps://") && !url.starts_with("ldap://") {
        section.problem("url", "must start with ldaps:// or ldap://");
    }
    let remembered = section.integer("cacheSeconds", 0..=MAX_CACHE_SECONDS).unwrap_or(CACHE_SECONDS);
    Ufds {
        url,
        remembered: Duration::from_secs(remembered),
        bind_dn: section.required_text("bindDN"),
        bind_password: Secret::new(section.required_text("bindPassword")),
    }
}

/// Reads the name of the datacenter. In the other modes it is empty.
fn datacenter_name(root: &mut Reader<'_>, mode: Mode) -> String {
    match mode {
        Mode::Dc => root.required_text("datacenterName"),
        Mode::Public | Mode::Private => root.text("datacenterName").unwrap_or_default(),
    }
}

fn database(root: &mut Reader<'_>) -> Database {
    match root.text("databaseType").as_deref() {
        Some("moray") => Database::Moray(moray(root)),
        Some("local") => Database::Local,
        _ => {
            root.problem("databaseType", "must be moray or local");
            Database::Local
        }
    }
}

fn moray(root: &mut Reader<'_>) -> Moray {
    let stale_reads = root.integer("staleReadSeconds", 0..=MAX_STALE_SECONDS).unwrap_or_default();
    let mut section = root.section("moray");
    let host = section.required_text("host");
    let port = section.integer("port", 0..=u16::MAX.into());
    if port.is_none() && !section.has("port") {
        section.problem("port", "is required");
    }
    let connect_timeout = section.integer("connectTimeout", 0..=MAX_CONNECT_TIMEOUT_MS).unwrap_or_default();
    Moray {
        host,
        port: port.unwrap_or_default() as u16,
        connect_timeout: Duration::from_millis(connect_timeout).max(MIN_CONNECT_TIMEOUT),
        stale_reads: Duration::from_secs(stale_reads),
    }
}
