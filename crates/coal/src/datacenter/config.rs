//! The config that `imgapi` is started with.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::sapi::SERVER_UUID;

/// What the config is made of.
pub(super) struct ConfigInput<'a> {
    pub(super) datacenter: &'a str,
    pub(super) admin_uuid: Option<&'a str>,
    pub(super) instance_uuid: &'a str,
    pub(super) imgapi: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) moray: SocketAddr,
    pub(super) ufds: SocketAddr,
    pub(super) ufds_root_dn: &'a str,
    pub(super) ufds_root_password: &'a str,
}

impl ConfigInput<'_> {
    /// The keys of IMGAPI 4.13.1's own config in a datacenter; `metricsPort` is in addition, since two
    /// datacenters on one machine cannot share port 8881, and `scrubRate`: nothing reads files again on its own while tests
    /// damage them.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let config = json!({
            "port": self.imgapi.port(),
            "address": self.imgapi.ip(),
            "mode": "dc",
            "datacenterName": self.datacenter,
            "serviceName": "imgapi",
            "instanceUuid": self.instance_uuid,
            "serverUuid": SERVER_UUID,
            "adminIp": self.metrics.ip(),
            "metricsPort": self.metrics.port(),
            "adminUuid": self.admin_uuid,
            "authType": "none",
            "databaseType": "moray",
            "storageTypes": ["local"],
            "logLevel": "info",
            "scrubRate": 0,
            "ufds": {
                "url": format!("ldaps://{}", self.ufds),
                "bindDN": self.ufds_root_dn,
                "bindPassword": self.ufds_root_password,
            },
            "moray": {"host": self.moray.ip(), "port": self.moray.port()},
        });
        match config {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

/// Writes JSON to `path`, all or nothing. Only the owner may read it: there is a password inside.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Created with mode 0600.
    let mut file = NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}
